"""Browser sessions as records: opened, ended.

Owns the changes and their events; the cookie, and whether one is still good, are `control.browser_sessions`'.
"""

from __future__ import annotations

from msgspec.structs import replace

from caisey.control.directory.records import Member
from caisey.control.directory.sign_in_records import BrowserSession
from caisey.control.directory.store import Directory, Draft
from caisey.core import ids

AGENT_LENGTH = 200


def open_one(
    draft: Draft, member: Member, *, digest: bytes, address: str, agent: str, life_ms: int, second_factor: bool
) -> BrowserSession:
    """Somebody has signed in."""
    session = BrowserSession(
        browser_session_id=draft.new_id(ids.BROWSER_SESSION),
        organization_id=member.organization_id,
        member_id=member.member_id,
        digest=digest,
        address=address,
        agent="".join(c for c in agent if c.isprintable())[:AGENT_LENGTH],
        opened_at_ms=draft.at_ms,
        used_at_ms=draft.at_ms,
        ends_at_ms=draft.at_ms + life_ms,
    )
    draft.note(
        "browser_session.opened",
        member_id=member.member_id,
        browser_session_id=session.browser_session_id,
        address=address,
        second_factor=second_factor,
    )
    return draft.save(session)


def end_one(draft: Draft, session: BrowserSession, why: str) -> None:
    """It is over at once, with its streams. `why`: signed_out, password_changed, reset, ended_by_member,
    ended_by_admin, removed."""
    draft.note(
        "browser_session.ended",
        member_id=session.member_id,
        browser_session_id=session.browser_session_id,
        why=why,
    )
    draft.save(replace(session, ended_at_ms=draft.at_ms))


def of_member(directory: Directory, member_id: str) -> list[BrowserSession]:
    """Those that were not ended, the newest first."""
    found = directory.browser_sessions_of.get(member_id, {}).values()
    return sorted(found, key=lambda session: (-session.opened_at_ms, session.browser_session_id))


def end_all(directory: Directory, draft: Draft, member_id: str, why: str, *, but: str | None = None) -> None:
    """All of a member's, but perhaps the one that asks."""
    for session in of_member(directory, member_id):
        if session.browser_session_id != but:
            end_one(draft, session, why)
