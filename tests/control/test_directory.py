"""The directory: one writer, memory that follows the log, records that come back as they were."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caisey.control.access import Access, Principal
from caisey.control.clock import SystemClock
from caisey.control.directory import client_groups, enrollment, enrollment_tokens, facts, organizations, tokens
from caisey.control.directory.answered import KEPT_MS, AnsweredWrites
from caisey.control.directory.enrollment_tokens import Wanted
from caisey.control.directory.organizations import LOCAL
from caisey.control.directory.records import COLUMNS, Endpoint, Machine, Organization, PolicyLevel, Record, Runtime
from caisey.control.directory.store import Directory
from caisey.control.roles import RANK, Role, may_everywhere, may_in, may_somewhere, reach, role_in
from caisey.core.errors import Fault
from caisey.core.events import Actor
from caisey.core.policy import PolicyFields
from caisey.protocol.enrollment import EnrollingEndpoint, EnrollmentRequest
from caisey.storage.contract import Appended, AppendFailed, Entry, Write
from caisey.storage.migrations import migrate
from caisey.storage.sqlite.log import SqliteLog

T = TypeVar("T")
KEY = bytes(range(32))


class Now(SystemClock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.ms


class Place:
    """A directory on a real log."""

    def __init__(self, log: SqliteLog, directory: Directory, clock: Now) -> None:
        self.log = log
        self.directory = directory
        self.clock = clock

    async def again(self) -> Directory:
        """What a restart would read."""
        fresh = Directory(self.log, self.clock)
        await fresh.refresh()
        return fresh

    @property
    def owner(self) -> Principal:
        organization = next(iter(self.directory.organizations))
        return Principal("token", "tok_owner", organization, Role.OWNER)


def run(tmp_path: Path, work: Callable[[Place], Coroutine[Any, Any, T]]) -> T:
    """`work` on a new directory with the organization `default`."""

    async def all_of_it() -> T:
        path = tmp_path / f"{secrets.token_hex(4)}.db"
        log = await SqliteLog.open(path)
        try:
            clock = Now()
            directory = Directory(log, clock)
            await organizations.ensure_default(directory)
            return await work(Place(log, directory, clock))
        finally:
            await log.close()

    return asyncio.run(all_of_it())


def snapshot(directory: Directory) -> dict[str, Any]:
    names = (
        "organizations",
        "client_groups",
        "endpoints",
        "runtimes",
        "tokens",
        "members",
        "enrollment_tokens",
        "enrollments",
        "policies",
        "facts",
        "runtimes_of",
    )
    return {name: dict(getattr(directory, name)) for name in names}


# -- records -------------------------------------------------------------------------------------------------------

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
maybe = st.none() | st.integers(0, 2**53)
endpoints = st.builds(
    Endpoint,
    endpoint_id=text,
    organization_id=text,
    client_group_id=st.none() | text,
    name=text,
    tags=st.lists(text, max_size=3).map(tuple),
    machine=st.builds(Machine, hostname=text, os=text, os_version=text, arch=text),
    machine_fingerprint=text,
    like_endpoint_id=st.none() | text,
    created_at_ms=st.integers(0, 2**53),
    removing_since_ms=maybe,
    removed_at_ms=maybe,
)
runtimes = st.builds(
    Runtime,
    runtime_id=text,
    organization_id=text,
    endpoint_id=text,
    public_key=st.binary(min_size=32, max_size=32),
    journal_id=text,
    machine_fingerprint=text,
    version=text,
    boot_id=text,
    enrolled_at_ms=st.integers(0, 2**53),
    suspected_since_ms=maybe,
    revoked_at_ms=maybe,
    compromised=st.booleans(),
)


@given(endpoints | runtimes)
def test_a_record_comes_back_from_its_row(record: Record) -> None:
    columns = COLUMNS[type(record)]
    with sqlite3.connect(":memory:", isolation_level=None) as connection:
        migrate(connection, ":memory:")
        connection.execute(columns.save, columns.row(record))
        connection.execute(columns.save, columns.row(record))  # saved again is saved once
        rows = connection.execute(columns.select).fetchall()
    connection.close()
    assert [columns.record(row) for row in rows] == [record]


def test_every_table_has_its_record_and_every_column_its_field() -> None:
    with sqlite3.connect(":memory:", isolation_level=None) as connection:
        migrate(connection, ":memory:")
        for kind, columns in COLUMNS.items():
            found = [row[1] for row in connection.execute(f"PRAGMA table_info({kind.TABLE})")]
            assert tuple(found) == columns.names, kind
    connection.close()


# -- changing ------------------------------------------------------------------------------------------------------


def test_memory_is_what_a_restart_reads(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        directory, owner = place.directory, place.owner
        async with directory.changing(owner.organization_id, owner.actor) as draft:
            group = client_groups.create(directory, draft, owner, "Bakery")
        async with directory.changing(owner.organization_id, owner.actor) as draft:
            tokens.create(
                directory,
                draft,
                owner,
                role=Role.TECHNICIAN,
                name="x",
                groups=(group.client_group_id,),
                expires_in_s=1.5,
            )
        async with directory.changing(owner.organization_id, owner.actor) as draft:
            draft.save(
                PolicyLevel(
                    organization_id=owner.organization_id,
                    level="organization",
                    subject="",
                    fields=PolicyFields(ack_window_s=1.5, escalate_to=None),
                    updated_at_ms=1,
                )
            )
        assert snapshot(await place.again()) == snapshot(directory)

    run(tmp_path, work)


def test_what_raises_changes_nothing(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        before = snapshot(place.directory)

        async def change() -> None:
            async with place.directory.changing(place.owner.organization_id, LOCAL) as draft:
                draft.note("organization.created", name="x")
                draft.save(Organization(organization_id="org_x", name="x", created_at_ms=1))
                raise Fault("organization.name_taken")

        with pytest.raises(Fault, match="name_taken"):
            await change()
        assert snapshot(place.directory) == before == snapshot(await place.again())
        assert len(await place.log.read_organization(place.owner.organization_id)) == 1

    run(tmp_path, work)


def test_what_the_log_refuses_is_not_true_in_memory(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        told: list[tuple[Record, ...]] = []
        place.directory.subscribe(told.append)
        before = snapshot(place.directory)

        async def change() -> None:
            async with place.directory.changing(place.owner.organization_id, LOCAL) as draft:
                client_groups.create(place.directory, draft, place.owner, "Bakery")
                draft.execute("INSERT INTO no_such_table VALUES (1)")

        with pytest.raises(Fault, match=r"server\.storage_failed"):
            await change()
        assert told == []
        assert snapshot(place.directory) == before == snapshot(await place.again())
        async with place.directory.changing(place.owner.organization_id, LOCAL) as draft:
            client_groups.create(place.directory, draft, place.owner, "Bakery")
        assert len(told) == 1

    run(tmp_path, work)


def test_a_commit_that_failed_and_happened_all_the_same_is_told_to_whoever_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(place: Place) -> None:
        told: list[tuple[Record, ...]] = []
        place.directory.subscribe(told.append)
        real = place.log.append

        def append(entries: Sequence[Entry], writes: Sequence[Write] = ()) -> Appended:
            appended = real(entries, writes)
            lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            appended.committed.add_done_callback(lambda _: lost.set_exception(AppendFailed("nobody knows")))
            return appended._replace(committed=lost)

        async def change() -> None:
            async with place.directory.changing(place.owner.organization_id, LOCAL) as draft:
                client_groups.create(place.directory, draft, place.owner, "Bakery")

        with monkeypatch.context() as patched:
            patched.setattr(place.log, "append", append)
            with pytest.raises(Fault, match=r"server\.storage_failed"):
                await change()
        (made,) = place.directory.client_groups.values()
        assert made.name == "Bakery"
        assert told == [(made,)]

    run(tmp_path, work)


def test_changes_at_the_same_time_are_decided_one_after_another(tmp_path: Path) -> None:
    async def work(place: Place) -> list[object]:
        async def make() -> None:
            async with place.directory.changing(place.owner.organization_id, LOCAL) as draft:
                client_groups.create(place.directory, draft, place.owner, "Bakery")

        return await asyncio.gather(*(make() for _ in range(10)), return_exceptions=True)

    outcomes = run(tmp_path, work)
    assert outcomes.count(None) == 1
    assert {getattr(one, "code", None) for one in outcomes} == {None, "client_group.name_taken"}


def test_a_caller_who_goes_leaves_no_half_change(tmp_path: Path) -> None:
    """Cancelled while the commit is under way: memory follows all the same, before the next change is decided."""

    async def work(place: Place) -> None:
        async def make(name: str) -> None:
            async with place.directory.changing(place.owner.organization_id, LOCAL) as draft:
                client_groups.create(place.directory, draft, place.owner, name)

        task = asyncio.create_task(make("Bakery"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await make("Garage")
        assert snapshot(place.directory) == snapshot(await place.again())

    run(tmp_path, work)


# -- enrollment ----------------------------------------------------------------------------------------------------


def computer(token: str, *, machine: str = "m", journal: str = "j", key: bytes | None = None) -> EnrollmentRequest:
    return EnrollmentRequest(
        token=token,
        public_key=key or secrets.token_bytes(32),
        runtime_version="0.1.0",
        journal_id=journal,
        endpoint=EnrollingEndpoint(
            hostname="PC", os="linux", os_version="12", arch="x", machine_fingerprint=machine, boot_id="b"
        ),
    )


async def new_token(place: Place, scope: str = "organization", **more: Any) -> str:
    owner = place.owner
    wanted = Wanted(scope=scope, uses=more.pop("uses", 100), **more)  # type: ignore[arg-type]  # a word of Scope
    async with place.directory.changing(owner.organization_id, owner.actor) as draft:
        return enrollment_tokens.create(place.directory, draft, owner, wanted, KEY)[1]


async def endpoint_of(place: Place, request: EnrollmentRequest) -> str:
    place.clock.ms += 1
    await enrollment.enroll(place.directory, request, KEY)
    return place.directory.runtime_by_key[request.public_key].endpoint_id


def test_who_joins_and_who_is_new(tmp_path: Path) -> None:
    """PROTOCOL.md §2, each clause by itself."""

    async def work(place: Place) -> None:
        directory, owner = place.directory, place.owner
        async with directory.changing(owner.organization_id, owner.actor) as draft:
            bakery = client_groups.create(directory, draft, owner, "Bakery").client_group_id
            garage = client_groups.create(directory, draft, owner, "Garage").client_group_id
        anywhere = await new_token(place)
        there = await new_token(place, "client_group", client_group_id=bakery)
        elsewhere = await new_token(place, "client_group", client_group_id=garage)
        first = await endpoint_of(place, computer(there, machine="one", journal="a"))
        bound = await new_token(place, "endpoint", endpoint_id=first)
        assert await endpoint_of(place, computer(there, machine="one", journal="a")) == first
        assert await endpoint_of(place, computer(anywhere, machine="one", journal="a")) == first
        assert await endpoint_of(place, computer(bound, machine="one", journal="other")) == first
        stranger = await endpoint_of(place, computer(elsewhere, machine="one", journal="a"))
        alike = await endpoint_of(place, computer(there, machine="one", journal="b"))
        different = await endpoint_of(place, computer(there, machine="two", journal="a"))
        assert len({first, stranger, alike, different}) == 4
        likes = [directory.endpoints[one].like_endpoint_id for one in (stranger, alike, different)]
        assert likes == [first, first, None]
        assert directory.endpoints[stranger].client_group_id == garage
        with pytest.raises(Fault, match="token_invalid"):
            await enrollment.enroll(directory, computer(bound, machine="two"), KEY)
        alarms = await place.log.query("SELECT endpoint_id FROM attention WHERE type = 'endpoint.fingerprint_shared'")
        assert {row[0] for row in alarms} == {stranger, alike}

    run(tmp_path, work)


def test_organizations_never_meet(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        first = await endpoint_of(place, computer(await new_token(place), machine="one", journal="a"))
        other = await organizations.create(place.directory, "other")
        principal = Principal("token", "tok_x", other.organization_id, Role.OWNER)
        async with place.directory.changing(other.organization_id, principal.actor) as draft:
            wanted = Wanted(scope="organization")
            text_of_token = enrollment_tokens.create(place.directory, draft, principal, wanted, KEY)[1]
        second = await endpoint_of(place, computer(text_of_token, machine="one", journal="a"))
        assert second != first
        assert place.directory.endpoints[second].like_endpoint_id is None, "not even that there is another is told"

    run(tmp_path, work)


def test_a_token_is_used_once_per_computer_however_often_it_is_asked(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        token = await new_token(place, uses=2)
        requests = [computer(token, machine=str(number)) for number in range(4)]
        outcomes = await asyncio.gather(
            *(enrollment.enroll(place.directory, one, KEY) for one in requests for _ in range(3)),
            return_exceptions=True,
        )
        answers = [one for one in outcomes if isinstance(one, bytes)]
        refused = {one.code for one in outcomes if isinstance(one, Fault)}
        assert (len(answers), len(set(answers))) == (6, 2)
        assert refused == {"enrollment.token_used_up"}
        place.clock.ms += 10 * 3_600_000
        assert await enrollment.enroll(place.directory, requests[0], KEY) == answers[0], "also after its end"

    run(tmp_path, work)


# -- answered writes -----------------------------------------------------------------------------------------------


def test_a_key_is_forgotten_after_a_day(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        answered = AnsweredWrites(place.log.query_now, place.clock)
        who = ("tok_x", "POST", "/x")
        async with answered.claim(who, "key", b"one") as claim:
            await place.log.append([], claim.remember(201, body=b"made")).committed
        async with answered.claim(who, "key", b"one") as claim:
            assert claim.answered is not None
            assert claim.answered.body == b"made"
        with pytest.raises(Fault, match=r"idempotency\.mismatch"):
            async with answered.claim(who, "key", b"two"):
                raise AssertionError("another body")
        place.clock.ms += KEPT_MS
        async with answered.claim(who, "key", b"two") as claim:
            assert claim.answered is None
        await place.log.append([], [answered.clean()]).committed
        assert await place.log.query("SELECT * FROM answered_writes") == []

    run(tmp_path, work)


def test_a_second_request_waits_for_the_first(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        answered = AnsweredWrites(place.log.query_now, place.clock)
        who = ("tok_x", "POST", "/x")
        release = asyncio.Event()
        order: list[str] = []

        async def first() -> None:
            async with answered.claim(who, "key", b"one") as claim:
                order.append("first began")
                await release.wait()
                await place.log.append([], claim.remember(201, body=b"made")).committed
                order.append("first ended")

        async def second() -> None:
            async with answered.claim(who, "key", b"one") as claim:
                order.append("second")
                assert claim.answered is not None

        tasks = [asyncio.create_task(first()), asyncio.create_task(second())]
        await asyncio.sleep(0)
        with pytest.raises(Fault, match=r"idempotency\.mismatch"):
            async with answered.claim(who, "key", b"two"):
                raise AssertionError("another body")
        release.set()
        await asyncio.gather(*tasks)
        assert order == ["first began", "first ended", "second"]

    run(tmp_path, work)


def test_a_failed_first_lets_the_second_do_it(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        answered = AnsweredWrites(place.log.query_now, place.clock)
        with pytest.raises(Fault):
            async with answered.claim(("a", "POST", "/"), "key", b""):
                raise Fault("server.overloaded")
        async with answered.claim(("a", "POST", "/"), "key", b"") as claim:
            assert claim.answered is None

    run(tmp_path, work)


# -- access, facts -------------------------------------------------------------------------------------------------

groups = st.none() | st.frozensets(st.sampled_from(["a", "b", "c"]))
principals = st.builds(
    Principal,
    kind=st.just("token"),
    id=text,
    organization_id=st.just("o"),
    role=st.sampled_from(Role),
    client_groups=groups,
    group_roles=st.dictionaries(st.sampled_from(["a", "b", "c"]), st.none() | st.sampled_from(Role)),
    least=st.sampled_from(Role),
)
places = st.none() | st.sampled_from(["a", "b", "c", "made later"])


@given(principals, principals, places, st.sampled_from(Role))
def test_who_is_covered_by_another_may_and_sees_no_more(
    inner: Principal, outer: Principal, place: str | None, role: Role
) -> None:
    if outer.covers(inner):
        assert may_somewhere(outer, role) or not may_somewhere(inner, role)
        assert may_everywhere(outer, role) or not may_everywhere(inner, role)
        assert may_in(outer, place, role) or not may_in(inner, place, role)
        assert outer.sees_group(place) or role_in(inner, place) is None
        assert outer.sees_reach_of(inner)


@given(principals, places)
def test_what_is_held_everywhere_is_held_in_each_place(principal: Principal, place: str | None) -> None:
    if principal.everywhere:
        assert principal.sees_group(place)
    only, groups = reach(principal, principal.least)
    assert principal.sees_group(place) == ((place in groups) is only)


@given(principals, principals)
def test_nobody_who_is_no_more_than_covered_is_refused(one: Principal, other: Principal) -> None:
    """The other half: a rule that covers nobody would pass the tests above."""
    assert one.asking(Role.VIEWER).covers(one)
    if other.client_groups is None and not other.group_roles and other.role is Role.OWNER:
        assert other.covers(one)


def test_roles_are_in_one_order() -> None:
    assert sorted(Role, key=RANK.__getitem__) == ["viewer", "approver", "technician", "admin", "owner"]


def test_a_lease_ends_with_its_token(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        access = Access(place.directory, place.clock)
        owner = place.owner
        async with place.directory.changing(owner.organization_id, owner.actor) as draft:
            token, secret = tokens.make(draft, role=Role.VIEWER, name="", expires_in_s=60)
        principal = access.authenticate(f"Bearer {secret}")
        assert access.seconds_left(principal) == 60
        with access.lease(principal) as lease, access.lease(owner) as other:
            async with place.directory.changing(owner.organization_id, owner.actor) as draft:
                tokens.revoke(place.directory, draft, owner, token.token_id)
            assert lease.ended.is_set()
            assert not other.ended.is_set()
        with pytest.raises(Fault, match=r"auth\.token_invalid"):
            access.authenticate(f"Bearer {secret}")

    run(tmp_path, work)


def test_facts_keep_the_newest(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        organization = place.owner.organization_id
        for at_ms, users in ((2, ["new"]), (1, ["old"])):
            found = facts.of_result("ept_x", "system_info", {}, {"users": users, "os": "linux"}, at_ms)
            await facts.keep(place.directory, organization, found)
        assert place.directory.facts["ept_x"]["signed_in_users"].value == ["new"]
        assert (await place.again()).facts == place.directory.facts

    run(tmp_path, work)


@pytest.mark.parametrize("result", [None, [], "x", 7, {}, {"users": None}])
@pytest.mark.parametrize("tool", ["system_info", "disk_usage", "network", "shell"])
def test_facts_of_strange_results(tool: str, result: Any) -> None:
    assert all(fact.source == tool for fact in facts.of_result("ept_x", tool, {}, result, 1))


def test_looking_at_one_disk_says_nothing_of_the_others() -> None:
    result = {"filesystems": [{"mount": "/"}]}
    assert facts.of_result("e", "disk_usage", {}, result, 1)
    assert facts.of_result("e", "disk_usage", {"path": "/"}, result, 1) == []


def test_actors_of_the_machine_itself_are_named() -> None:
    assert Actor("control_plane", "local_admin") == LOCAL


def test_what_a_result_does_not_know_is_no_fact() -> None:
    """A null would not fit its row, and the append that holds it would fail for everybody behind it."""
    found = facts.of_result("e", "system_info", {}, {"os": "linux", "idle_s": None, "pending_restart": None}, 1)
    assert {fact.name: fact.value for fact in found} == {"os": "linux"}
