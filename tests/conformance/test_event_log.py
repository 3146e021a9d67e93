"""What every event log has to do, whatever it is built on (`storage/contract.py`)."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caisey.core import audit
from caisey.core.events import Actor
from caisey.storage.contract import AppendFailed, Closed, Entry, EventsWanted, Log, Overloaded, Write
from caisey.storage.sqlite import reading
from tests.storage.logs import BAD_WRITE, COUNT, KEY, ONE, SESSION, TWO, entry, every_line, in_loop, outcome, sqlite_log

Opener = Callable[[], AbstractAsyncContextManager[Log]]
IMPLEMENTATIONS: dict[str, Callable[[Path], AbstractAsyncContextManager[Log]]] = {"sqlite": sqlite_log}


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
def open_log(request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens the same log each time it is called."""
    with tempfile.TemporaryDirectory() as scratch:
        yield lambda: IMPLEMENTATIONS[request.param](Path(scratch) / "data")


def take(log: Log, organization: str, writes: Sequence[Write]) -> Awaitable[None]:
    """Append; not being taken, while a failure is cleared up, is a failure too."""
    try:
        return log.append([entry(organization)], writes).committed
    except Overloaded as error:
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refused.set_exception(AppendFailed(str(error)))
        return refused


@in_loop
async def test_sequences_are_told_at_once_and_are_contiguous_per_organization(open_log: Opener) -> None:
    async with open_log() as log:
        first = log.append([entry(ONE), entry(TWO), entry(ONE)])
        second = log.append([entry(TWO)])
        assert (first.sequences, second.sequences) == ([1, 1, 2], [2])
        assert not first.committed.done()
        await second.committed
        assert first.committed.done()


@in_loop
async def test_the_next_sequence_is_the_one_that_is_given(open_log: Opener) -> None:
    async with open_log() as log:
        for organization, writes in ((ONE, []), (ONE, [BAD_WRITE]), (TWO, []), (ONE, [])):
            expected = log.next_sequence(organization)
            appended = log.append([entry(organization)], writes)
            assert appended.sequences == [expected]
            await outcome(appended)
        assert (log.next_sequence(ONE), log.next_sequence(TWO), log.next_sequence("org_none")) == (3, 2, 1)


@in_loop
async def test_what_was_appended_is_read_back_word_for_word(open_log: Opener) -> None:
    asked = Entry(
        ONE,
        None,
        "member_added",
        1_700_000_000_007,
        Actor("token", "tok_1"),
        "ticket 7",
        {"a": [1, {"b": None}], "c": "ä"},
    )
    async with open_log() as log:
        await log.append([asked]).committed
        (event,) = await log.read_organization(ONE)
        public = event.to_public()
    assert {name: public.pop(name) for name in ("salts", "digest")}.keys() == {"salts", "digest"}
    assert public == {
        "sequence": 1,
        "at": "2023-11-14T22:13:20.007Z",
        "organization_id": ONE,
        "session_id": None,
        "type": "member_added",
        "actor": {"kind": "token", "id": "tok_1"},
        "reason": "ticket 7",
        "payload": {"a": [1, {"b": None}], "c": "ä"},
        "previous": "0" * 64,
    }


@in_loop
async def test_a_committed_unit_is_visible_with_its_writes(open_log: Opener) -> None:
    due = ("INSERT INTO open_work (session_id, endpoint_id, due_at_ms) VALUES (?, ?, ?)", (SESSION, "ept_1", 5))
    async with open_log() as log:
        await log.append([entry()], [due]).committed
        assert log.query_now("SELECT due_at_ms FROM open_work WHERE session_id = ?", (SESSION,)) == [(5,)]
        assert await log.query(COUNT) == [(1,)]


@in_loop
async def test_a_unit_of_writes_alone_needs_no_event(open_log: Opener) -> None:
    async with open_log() as log:
        appended = log.append([], [("INSERT INTO open_work VALUES (?, ?, ?)", (SESSION, "ept_1", 5))])
        await appended.committed
        assert appended.sequences == []
        assert log.query_now("SELECT COUNT(*) FROM open_work") == [(1,)]


@in_loop
async def test_a_unit_is_committed_whole_or_not_at_all(open_log: Opener) -> None:
    good = ("INSERT INTO open_work VALUES (?, ?, ?)", (SESSION, "ept_1", 5))
    async with open_log() as log:
        assert not await outcome(log.append([entry()], [good, BAD_WRITE]))
        assert log.query_now(COUNT) == [(0,)]
        assert log.query_now("SELECT COUNT(*) FROM open_work") == [(0,)]


@in_loop
async def test_a_failed_sequence_is_given_again_and_leaves_no_gap(open_log: Opener) -> None:
    async with open_log() as log:
        assert await outcome(log.append([entry()]))
        assert not await outcome(log.append([entry(), entry()], [BAD_WRITE]))
        again = log.append([entry()])
        assert again.sequences == [2]
        await again.committed
        assert audit.verify(await every_line(log, ONE), KEY.public_key()).ok


@in_loop
async def test_a_unit_at_fault_fails_its_own_chain_and_no_other(open_log: Opener) -> None:
    async with open_log() as log:
        script: list[tuple[str, list[Write]]] = [
            (ONE, []),
            (TWO, []),
            (ONE, [BAD_WRITE]),
            (TWO, []),
            (ONE, []),
            (TWO, []),
        ]
        units = [take(log, organization, writes) for organization, writes in script]
        assert [await outcome(unit) for unit in units] == [True, True, False, True, False, True]
        for organization, count in ((ONE, 1), (TWO, 3)):
            lines = await every_line(log, organization)
            assert len(lines) == count + 1
            assert audit.verify(lines, KEY.public_key()).ok


@pytest.mark.parametrize(
    "payload",
    [{"a": 2**53}, {"a": float("nan")}, {"a": "\ud800"}, {"é": 1}, {"a": [object()]}, {"a": {1: 2}}],
    ids=["integer", "nan", "surrogate", "name", "type", "key"],
)
def test_a_payload_that_is_no_json_fails_its_unit_alone(open_log: Opener, payload: dict[str, Any]) -> None:
    @in_loop
    async def run() -> None:
        async with open_log() as log:
            before, wrong, other = log.append([entry()]), log.append([entry(**payload)]), log.append([entry(TWO)])
            assert [await outcome(unit) for unit in (before, wrong, other)] == [True, False, True]

    run()


@in_loop
async def test_failure_is_told_before_the_futures_and_before_anything_new_is_taken(open_log: Opener) -> None:
    async with open_log() as log:
        story: list[str] = []
        log.on_failure(lambda: story.append("told"))
        failing = log.append([entry()], [BAD_WRITE]).committed
        failing.add_done_callback(lambda _: story.append("failed"))
        refused = 0
        while not failing.done():
            try:
                log.append([entry()]).committed.add_done_callback(lambda f: story.append(repr(f.exception())))
            except Overloaded:
                refused += 1
                assert "told" not in story
            await asyncio.sleep(0)
        assert await outcome(log.append([entry(TWO)]))
        assert story[:2] == ["told", "failed"]
        assert all(line.startswith("AppendFailed") for line in story[2:])
        assert isinstance(failing.exception(), AppendFailed)
        assert await outcome(log.append([entry()]))


@in_loop
async def test_nobody_has_to_wait_for_a_failure(open_log: Opener) -> None:
    """A future that nobody looked at must not turn into noise when it is collected."""
    async with open_log() as log:
        log.append([entry()], [BAD_WRITE])
        assert await outcome(log.append([entry(TWO)]))


@in_loop
async def test_who_stops_waiting_disturbs_nobody(open_log: Opener) -> None:
    async with open_log() as log:
        given_up = log.append([entry()])
        given_up.committed.cancel()
        await log.append([entry()]).committed
        assert log.query_now(COUNT) == [(2,)]


@in_loop
async def test_closing_commits_what_was_taken_and_takes_no_more(open_log: Opener) -> None:
    async with open_log() as log:
        taken = [log.append([entry()]).committed for _ in range(50)]
        await log.close()
        assert all(future.done() and future.exception() is None for future in taken)
        with pytest.raises(Closed):
            log.append([entry()])
        with pytest.raises(Closed):
            log.query_now(COUNT)
        await log.close()
    async with open_log() as log:
        assert log.query_now(COUNT) == [(50,)]


@in_loop
async def test_opened_again_it_goes_on_where_it_was(open_log: Opener) -> None:
    for life in range(3):
        async with open_log() as log:
            appended = log.append([entry(ONE, life=life), entry(TWO)])
            await appended.committed
            assert appended.sequences == [life + 1, life + 1]
    async with open_log() as log:
        assert audit.verify(await every_line(log, ONE), KEY.public_key()).ok


@in_loop
async def test_reading_goes_on_after_the_last(open_log: Opener) -> None:
    other = "ses_" + "9" * 26
    places = [(ONE, SESSION), (TWO, other), (ONE, None)] * 4
    async with open_log() as log:
        await log.append([entry(*place, n=n) for n, place in enumerate(places)]).committed
        assert [e.sequence for e in await log.read_organization(ONE, after=2, limit=3)] == [3, 4, 5]
        assert [(e.sequence, e.payload["n"]) for e in await log.read_session(SESSION, after=1)] == [
            (3, 3),
            (5, 6),
            (7, 9),
        ]
        assert [e.payload["n"] for e in await log.read_session(other, limit=2)] == [1, 4]
        assert [e.payload["n"] for e in await log.read_positions(after=4, limit=4)] == [4, 5, 6, 7]
        assert await log.read_session("ses_" + "8" * 26) == []
        assert log.newest_of_session(SESSION, 1, 2) == await log.read_session(SESSION, after=1, limit=2)
        assert log.newest_of_organization(ONE, 2, 3) == await log.read_organization(ONE, after=2, limit=3)


def told(number: int, **payload: Any) -> Entry:
    """An event whose every field tells it apart."""
    kind = "user" if number % 2 else "token"
    session = SESSION if number % 3 == 0 else None
    return Entry(
        ONE, session, f"kind_{number % 2}.part", 1_000 + number, Actor(kind, f"{kind}_{number}"), None, payload
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (EventsWanted(), [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (EventsWanted(type="kind_1.part"), [9, 7, 5, 3, 1]),
        (EventsWanted(type="kind_0."), [8, 6, 4, 2]),
        (EventsWanted(type="kind_0"), []),
        (EventsWanted(actor="user"), [9, 7, 5, 3, 1]),
        (EventsWanted(actor="token_4"), [4]),
        (EventsWanted(session_id=SESSION), [9, 6, 3]),
        (EventsWanted(endpoint_id="ept_5"), [5]),
        (EventsWanted(text="NEEDLE"), [7]),
        (EventsWanted(text='a "quoted" one'), [8]),
        (EventsWanted(text="100%"), []),
        (EventsWanted(since_ms=1_003, until_ms=1_005), [5, 4, 3]),
        (EventsWanted(type="kind_1.", actor="user", since_ms=1_004), [9, 7, 5]),
    ],
)
def test_a_search_finds_what_fits_newest_first(open_log: Opener, wanted: EventsWanted, found: list[int]) -> None:
    payloads: dict[int, dict[str, Any]] = {
        5: {"endpoint_id": "ept_5"},
        7: {"text": "a needle, really"},
        8: {"text": 'a "quoted" one'},
    }

    @in_loop
    async def search() -> None:
        async with open_log() as log:
            await log.append([entry(TWO), *(told(n, **payloads.get(n, {})) for n in range(1, 10))]).committed
            everything = await log.search_organization(ONE, wanted, 10, 50)
            assert [event.sequence for event in everything.events] == found
            assert everything.searched_to == 1
            first = await log.search_organization(ONE, wanted, 10, 2)
            assert [event.sequence for event in first.events] == found[:2]
            rest = await log.search_organization(ONE, wanted, first.searched_to, 50)
            assert [event.sequence for event in rest.events] == found[2:]

    search()


@in_loop
async def test_a_search_looks_at_a_bounded_piece(open_log: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SEARCHED", 4)
    async with open_log() as log:
        await log.append([told(n) for n in range(1, 10)]).committed
        before, seen = 10, []
        while before > 1:
            found = await log.search_organization(ONE, EventsWanted(type="kind_1.part"), before, 50)
            assert found.searched_to >= before - 4
            seen += [event.sequence for event in found.events]
            before = found.searched_to
        assert seen == [9, 7, 5, 3, 1]


@in_loop
async def test_a_head_is_signed_once_for_what_it_covers(open_log: Opener) -> None:
    async with open_log() as log:
        assert await log.sign_heads(KEY.sign, 1) == 0
        await log.append([entry(ONE), entry(TWO)]).committed
        assert await log.sign_heads(KEY.sign, 2) == 2
        assert await log.sign_heads(KEY.sign, 3) == 0
        await log.append([entry(TWO)]).committed
        assert await log.sign_heads(KEY.sign, 4) == 1
        heads = await log.query("SELECT organization_id, sequence, at_ms FROM heads ORDER BY at_ms, organization_id")
        assert heads == [(ONE, 1, 2), (TWO, 1, 2), (TWO, 2, 4)]


names = st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(max_size=9)
    | st.sampled_from([0.5, -2.25]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
units = st.tuples(
    st.lists(st.tuples(st.sampled_from([ONE, TWO]), st.dictionaries(names, json_values, max_size=3)), max_size=3),
    st.booleans(),  # at fault
    st.booleans(),  # wait for it
)


@pytest.mark.parametrize("implementation", sorted(IMPLEMENTATIONS))
@settings(max_examples=40)
@given(script=st.lists(units, max_size=12))
def test_whatever_fails_the_log_is_what_was_acknowledged(implementation: str, script: list[Any]) -> None:
    @in_loop
    async def run() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            async with IMPLEMENTATIONS[implementation](Path(scratch) / "data") as log:
                taken: list[tuple[Any, Any]] = []
                for contents, fault, wait in script:
                    entries = [entry(organization, **payload) for organization, payload in contents]
                    try:
                        appended = log.append(entries, [BAD_WRITE] if fault else [])
                    except Overloaded:  # a failure is being cleared up
                        continue
                    taken.append((entries, appended))
                    if wait:
                        await outcome(appended)
                kept: dict[str, list[tuple[int, dict[str, Any]]]] = {ONE: [], TWO: []}
                for entries, appended in taken:
                    if await outcome(appended):
                        for one, sequence in zip(entries, appended.sequences, strict=True):
                            kept[one.organization_id].append((sequence, one.payload))
                for organization, expected in kept.items():
                    lines = await every_line(log, organization)
                    events = [line for line in lines if "payload" in line]
                    assert [(line["sequence"], line["payload"]) for line in events] == expected
                    assert not events or audit.verify(lines, KEY.public_key()).ok

    run()
