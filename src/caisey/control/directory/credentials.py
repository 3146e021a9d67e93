"""What members prove themselves with: set, changed, taken away.

Owns the changes and their events. Hashing a password takes long and is done before; comparing one is `sign_in`'s. An
event says that something was set, never what.
"""

from __future__ import annotations

from msgspec.structs import replace

from caisey.control import totp
from caisey.control.directory.records import Member
from caisey.control.directory.sign_in_records import Credential
from caisey.control.directory.store import Directory, Draft
from caisey.core.errors import Fault


def of(directory: Directory, member: Member) -> Credential:
    """What the member has; an empty one where nothing was ever set."""
    known = directory.credentials.get(member.member_id)
    return known or Credential(member_id=member.member_id, organization_id=member.organization_id)


def set_password(draft: Draft, credential: Credential, password_hash: str) -> Credential:
    """From now on this is the password."""
    draft.note("member.password_set", member_id=credential.member_id)
    return draft.save(replace(credential, password_hash=password_hash, password_set_at_ms=draft.at_ms))


def begin_second_factor(draft: Draft, credential: Credential, sealed: bytes) -> Credential:
    """A key is made; it counts once a code of it was given. Raises `totp.already_on`."""
    if credential.has_second_factor:
        raise Fault("totp.already_on")
    return draft.save(replace(credential, totp_sealed=sealed, totp_enabled_at_ms=None, totp_last_step=0))


def enable_second_factor(draft: Draft, credential: Credential, step: int, codes: tuple[str, ...]) -> Credential:
    """The code of `step` was right; `codes` are the recovery codes that were made with it."""
    draft.note("member.second_factor_on", member_id=credential.member_id)
    digests = tuple(totp.recovery_digest(code) for code in codes)
    return draft.save(
        replace(credential, totp_enabled_at_ms=draft.at_ms, totp_last_step=step, recovery_digests=digests)
    )


def use_step(draft: Draft, credential: Credential, step: int) -> Credential:
    """The code of `step` was used: neither it nor an earlier one is taken again. Raises `sign_in.refused`."""
    if step <= credential.totp_last_step:
        raise Fault("sign_in.refused")
    return draft.save(replace(credential, totp_last_step=step))


def use_recovery_code(draft: Draft, credential: Credential, digest: str) -> Credential:
    """That code is gone. Raises `sign_in.refused`."""
    if digest not in credential.recovery_digests:
        raise Fault("sign_in.refused")
    left = tuple(one for one in credential.recovery_digests if one != digest)
    draft.note("member.recovery_code_used", member_id=credential.member_id, left=len(left))
    return draft.save(replace(credential, recovery_digests=left))


def new_recovery_codes(draft: Draft, credential: Credential, codes: tuple[str, ...]) -> Credential:
    """Only these are good from now on. Raises `totp.not_on`."""
    if not credential.has_second_factor:
        raise Fault("totp.not_on")
    draft.note("member.recovery_codes_made", member_id=credential.member_id)
    return draft.save(replace(credential, recovery_digests=tuple(totp.recovery_digest(code) for code in codes)))


def disable_second_factor(draft: Draft, credential: Credential) -> Credential:
    """No code is asked for any more."""
    if not credential.has_second_factor:
        return credential
    draft.note("member.second_factor_off", member_id=credential.member_id)
    return draft.save(
        replace(credential, totp_sealed=None, totp_enabled_at_ms=None, totp_last_step=0, recovery_digests=())
    )
