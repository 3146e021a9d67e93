"""The directory: everything that is known of who and what there is, and the one way to change it.

Owns the records in memory, their indexes, and `changing`, the only writer of directory events. A change is decided from
what is in memory, appended to the log together with its rows, and becomes visible once that is committed. One change
at a time: what is decided from is what is committed. Must never be edited from outside a draft.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from caisey.control.directory.records import COLUMNS as RECORD_COLUMNS
from caisey.control.directory.records import (
    ApiToken,
    ClientGroup,
    Endpoint,
    Enrollment,
    EnrollmentToken,
    Fact,
    Member,
    Organization,
    PolicyLevel,
    Record,
    Runtime,
    Snippet,
)
from caisey.control.directory.sign_in_records import COLUMNS as SIGN_IN_COLUMNS
from caisey.control.directory.sign_in_records import BrowserSession, Credential, MemberLink, MemberSettings, Passkey
from caisey.core import ids
from caisey.core.errors import Fault
from caisey.core.events import Actor
from caisey.core.policy import Policy, PolicyFields, effective
from caisey.storage.contract import AppendFailed, Entry, Log, Overloaded

if TYPE_CHECKING:
    from caisey.control.clock import Times

R = TypeVar("R", bound=Record)
T = TypeVar("T")

Cell = str | int | bytes | None
Statement = tuple[str, tuple[Cell, ...]]
Listener = Callable[[tuple[Record, ...]], None]

COLUMNS = RECORD_COLUMNS | SIGN_IN_COLUMNS


class Draft:
    """What one change will commit: events, records, further statements."""

    def __init__(self, organization_id: str, actor: Actor, at_ms: int) -> None:
        self.organization_id = organization_id
        self.actor = actor
        self.at_ms = at_ms
        self.notes: list[Entry] = []
        self.records: dict[tuple[type[Record], str], Record] = {}
        self.statements: list[Statement] = []

    @staticmethod
    def new_id(prefix: str) -> str:
        """A fresh id."""
        return ids.new_id(prefix, secrets.token_bytes(ids.RANDOM_BYTES))

    def note(self, event_type: str, *, reason: str | None = None, **payload: Any) -> None:
        """One event. What concerns an endpoint carries its `endpoint_id`: who may see the event follows from it."""
        entry = Entry(
            organization_id=self.organization_id,
            session_id=None,
            type=event_type,
            at_ms=self.at_ms,
            actor=self.actor,
            reason=reason,
            payload=payload,
        )
        self.notes.append(entry)

    def save(self, record: R) -> R:
        """The record as it will be. A record saved twice counts as it was saved last."""
        self.records[type(record), record.key] = record
        return record

    def execute(self, sql: str, *values: Cell) -> None:
        """A further statement in the same transaction. `sql` is a constant; values are bound."""
        self.statements.append((sql, values))


class Directory:
    """See the module. Reading is plain attribute access; the mappings are to be read only."""

    def __init__(self, log: Log, clock: Times) -> None:
        self._log = log
        self._clock = clock
        self._changing = asyncio.Lock()
        self._listeners: list[Listener] = []
        self._effective: dict[str, tuple[Policy, dict[str, str]]] = {}
        self.organizations: dict[str, Organization] = {}
        self.client_groups: dict[str, ClientGroup] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.endpoints_of: dict[str, dict[str, Endpoint]] = {}  # by organization
        self.endpoints_like: dict[tuple[str, str], dict[str, None]] = {}  # by organization and fingerprint
        self.runtimes: dict[str, Runtime] = {}
        self.runtimes_of: dict[str, dict[str, Runtime]] = {}  # by endpoint
        self.runtime_by_key: dict[bytes, Runtime] = {}
        self.tokens: dict[str, ApiToken] = {}
        self.token_by_digest: dict[bytes, ApiToken] = {}
        self.members: dict[str, Member] = {}
        self.enrollment_tokens: dict[str, EnrollmentToken] = {}
        self.enrollment_token_by_digest: dict[str, EnrollmentToken] = {}
        self.enrollments: dict[tuple[str, bytes], Enrollment] = {}
        self.policies: dict[tuple[str, str, str], PolicyFields] = {}
        self.facts: dict[str, dict[str, Fact]] = {}  # by endpoint
        self.credentials: dict[str, Credential] = {}  # by member
        self.browser_session_by_digest: dict[bytes, BrowserSession] = {}  # those that were not ended
        self.browser_sessions_of: dict[str, dict[str, BrowserSession]] = {}  # by member, those that were not ended
        self.member_link_by_digest: dict[bytes, MemberLink] = {}  # those that were not ended
        self.member_settings: dict[str, MemberSettings] = {}  # by member
        self.passkey_by_credential: dict[bytes, Passkey] = {}  # those that were not removed
        self.passkeys_of: dict[str, dict[str, Passkey]] = {}  # by member, those that were not removed
        self.snippets: dict[str, Snippet] = {}

    # -- changing ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def changing(self, organization_id: str, actor: Actor) -> AsyncIterator[Draft]:
        """One change: decide and fill the draft inside the block, without awaiting; it is committed at its end.

        Whatever is raised inside leaves everything as it was. An empty draft writes nothing.
        """
        async with self._changing:
            draft = Draft(organization_id, actor, self._clock.now_ms())
            yield draft
            if draft.notes or draft.records or draft.statements:
                await unbroken(self._commit(draft))

    async def _commit(self, draft: Draft) -> None:
        records = tuple(draft.records.values())
        saved = [(COLUMNS[type(record)].save, COLUMNS[type(record)].row(record)) for record in records]
        try:
            await self._log.append(draft.notes, [*saved, *draft.statements]).committed
        except Overloaded:
            raise Fault("server.overloaded") from None
        except AppendFailed:
            await self._look_again(draft)
            raise Fault("server.storage_failed") from None
        for record in records:
            self._put(record)
        self._tell(records)

    async def _look_again(self, draft: Draft) -> None:
        """A COMMIT that failed may have happened all the same: the tables know, and whoever follows hears of it."""
        happened: list[Record] = []
        async for record in self._stored():
            self._put(record)
            if draft.records.get((type(record), record.key)) == record:
                happened.append(record)
        if happened:
            self._tell(tuple(happened))

    def _tell(self, records: tuple[Record, ...]) -> None:
        for listener in self._listeners:
            listener(records)

    def subscribe(self, listener: Listener) -> None:
        """`listener` is called after each commit with the records as they are now. It must not raise."""
        self._listeners.append(listener)

    # -- reading ----------------------------------------------------------------------------------------------------

    def organization_named(self, name: str) -> Organization | None:
        """By its name."""
        return next((found for found in self.organizations.values() if found.name == name), None)

    def groups_of(self, organization_id: str) -> list[ClientGroup]:
        """Of one organization, by name."""
        found = (group for group in self.client_groups.values() if group.organization_id == organization_id)
        return sorted(found, key=lambda group: (group.name.casefold(), group.client_group_id))

    def policy_of(self, endpoint_id: str) -> Policy:
        """The effective policy of an endpoint; that of an unknown one is the default."""
        return self.policy_with_origins(endpoint_id)[0]

    def policy_with_origins(self, endpoint_id: str) -> tuple[Policy, dict[str, str]]:
        """The effective policy and, for each field, the level it comes from (`tag:NAME` for a tag)."""
        known = self._effective.get(endpoint_id)
        if known is None:
            endpoint = self.endpoints.get(endpoint_id)
            known = effective(self._levels(endpoint) if endpoint else ())
            self._effective[endpoint_id] = known
        return known

    def _levels(self, endpoint: Endpoint) -> Iterable[tuple[str, PolicyFields]]:
        """Widest first (RECOVERY.md §6). Of several tags the last in the alphabet has the last word."""
        wanted = [("organization", "organization", "")]
        if endpoint.client_group_id is not None:
            wanted.append(("client_group", "client_group", endpoint.client_group_id))
        wanted += [(f"tag:{tag}", "tag", tag) for tag in sorted(endpoint.tags)]
        wanted.append(("endpoint", "endpoint", endpoint.endpoint_id))
        for origin, level, subject in wanted:
            fields = self.policies.get((endpoint.organization_id, level, subject))
            if fields is not None:
                yield origin, fields

    # -- memory -----------------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Everything as the tables have it: at start, and where memory may not be what was committed.

        Rows are never deleted, so putting all of them in is enough.
        """
        async for record in self._stored():
            self._put(record)

    async def _stored(self) -> AsyncIterator[Record]:
        for columns in COLUMNS.values():
            for row in await self._log.query(columns.select):
                yield columns.record(row)

    def _put(self, record: Record) -> None:
        match record:
            case Organization():
                self.organizations[record.organization_id] = record
                self.endpoints_of.setdefault(record.organization_id, {})
            case ClientGroup():
                self.client_groups[record.client_group_id] = record
            case Endpoint():
                self._put_endpoint(record)
            case Runtime():
                self._put_runtime(record)
            case ApiToken():
                self.tokens[record.token_id] = record
                self.token_by_digest[record.digest] = record
            case Member():
                self.members[record.member_id] = record
            case EnrollmentToken():
                self._put_enrollment_token(record)
            case Enrollment():
                self.enrollments[record.token_digest, record.public_key] = record
            case PolicyLevel():
                self.policies[record.organization_id, record.level, record.subject] = record.fields
                self._effective.clear()
            case Fact():
                self.facts.setdefault(record.endpoint_id, {})[record.name] = record
            case Snippet():
                self.snippets[record.snippet_id] = record
            case _:
                self._put_sign_in(record)

    def _put_enrollment_token(self, record: EnrollmentToken) -> None:
        former = self.enrollment_tokens.get(record.token_id)
        if former is not None:
            self.enrollment_token_by_digest.pop(former.digest, None)
        self.enrollment_tokens[record.token_id] = record
        self.enrollment_token_by_digest[record.digest] = record

    def _put_sign_in(self, record: Record) -> None:
        match record:
            case Credential():
                self.credentials[record.member_id] = record
            case BrowserSession():
                self._put_browser_session(record)
            case MemberLink() if record.ended_at_ms is None:
                self.member_link_by_digest[record.digest] = record
            case MemberLink():
                self.member_link_by_digest.pop(record.digest, None)
            case MemberSettings():
                self.member_settings[record.member_id] = record
            case Passkey():
                self._put_passkey(record)
            case _:
                raise TypeError(f"no place for {type(record).__name__}")

    def _put_browser_session(self, session: BrowserSession) -> None:
        mine = self.browser_sessions_of.setdefault(session.member_id, {})
        if session.ended_at_ms is None:
            self.browser_session_by_digest[session.digest] = session
            mine[session.browser_session_id] = session
        else:
            self.browser_session_by_digest.pop(session.digest, None)
            mine.pop(session.browser_session_id, None)

    def _put_passkey(self, passkey: Passkey) -> None:
        mine = self.passkeys_of.setdefault(passkey.member_id, {})
        if passkey.removed_at_ms is None:
            self.passkey_by_credential[passkey.credential_id] = passkey
            mine[passkey.passkey_id] = passkey
        else:
            self.passkey_by_credential.pop(passkey.credential_id, None)
            mine.pop(passkey.passkey_id, None)

    def forget_browser_sessions(self, now_ms: int) -> list[BrowserSession]:
        """Those whose end has passed are dropped from memory; the caller drops them from the tables."""
        over = [session for session in self.browser_session_by_digest.values() if session.ends_at_ms <= now_ms]
        for session in over:
            self.browser_session_by_digest.pop(session.digest, None)
            self.browser_sessions_of.get(session.member_id, {}).pop(session.browser_session_id, None)
        return over

    def _put_endpoint(self, endpoint: Endpoint) -> None:
        self.endpoints[endpoint.endpoint_id] = endpoint
        self._effective.pop(endpoint.endpoint_id, None)
        present = self.endpoints_of.setdefault(endpoint.organization_id, {})
        alike = self.endpoints_like.setdefault((endpoint.organization_id, endpoint.machine_fingerprint), {})
        if endpoint.removed_at_ms is None:
            present[endpoint.endpoint_id] = endpoint
            alike[endpoint.endpoint_id] = None
        else:
            present.pop(endpoint.endpoint_id, None)
            alike.pop(endpoint.endpoint_id, None)

    def _put_runtime(self, runtime: Runtime) -> None:
        former = self.runtimes.get(runtime.runtime_id)
        if former is not None and former.endpoint_id != runtime.endpoint_id:
            del self.runtimes_of[former.endpoint_id][former.runtime_id]
        self.runtimes[runtime.runtime_id] = runtime
        self.runtimes_of.setdefault(runtime.endpoint_id, {})[runtime.runtime_id] = runtime
        self.runtime_by_key[runtime.public_key] = runtime


async def unbroken(work: Awaitable[T]) -> T:
    """Await to the end also where the caller is cancelled meanwhile: memory must follow what was committed."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        raise
