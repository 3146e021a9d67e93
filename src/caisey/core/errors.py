"""Every stable dotted code, what it means and what to do about it.

Owns the catalogue that HTTP faults, refusals and docs/errors.md are made from. Never match on prose; match on codes.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Meaning(NamedTuple):
    """HTTP status (0 where the code is never an HTTP answer), what it says, what to do."""

    status: int
    title: str
    hint: str


CODES: dict[str, Meaning] = {
    # -- access and form --
    "auth.required": Meaning(401, "Not signed in", "Send `Authorization: Bearer cst_…`."),
    "auth.token_invalid": Meaning(401, "The token is not valid", "It may be revoked or expired. Make a new one."),
    "access.group_limited": Meaning(
        403, "This shows more than your client groups", "Ask an owner or admin who is not limited to client groups."
    ),
    "access.role_too_low": Meaning(403, "Your role does not allow this", "Ask an owner or admin of the organization."),
    "access.csrf_invalid": Meaning(
        403, "This did not come from a page of your session", "Load the page again, then send it once more."
    ),
    "access.foreign_origin": Meaning(
        403, "This came from another site", "Send it from a page of this console, under its own address."
    ),
    "access.host_unknown": Meaning(
        421, "This name is not one of the console's", "Set `public_url` to the address that people use."
    ),
    "resource.not_found": Meaning(404, "Not found", "Check the id. It may be gone, or not yours to see."),
    "request.invalid_json": Meaning(400, "The body is not valid JSON", "Send one JSON object in UTF-8."),
    "request.invalid_shape": Meaning(422, "The request does not fit", "See `errors` for each place."),
    "request.too_large": Meaning(413, "The body is too large", "Send less at once."),
    "request.rate_limited": Meaning(429, "Too many requests", "Wait a little and try again."),
    "request.unsupported_media_type": Meaning(415, "The body must be JSON", "Send `Content-Type: application/json`."),
    "request.method_not_allowed": Meaning(
        405, "This path does not take that method", "See the API page for its methods."
    ),
    "request.invalid_query": Meaning(422, "The query does not fit", "See `errors` for each parameter."),
    "request.invalid_header": Meaning(400, "A header does not fit", "See `detail` for the header and its form."),
    "idempotency.mismatch": Meaning(409, "This Idempotency-Key was used with another body", "Use a new key."),
    "idempotency.in_progress": Meaning(409, "The first request with this key is still running", "Ask again soon."),
    "idempotency.key_required": Meaning(
        422, "This needs an Idempotency-Key", "Send an `Idempotency-Key` header, so that it cannot be done twice."
    ),
    "server.overloaded": Meaning(503, "Caisey is at its limit", "Nothing was accepted. Try again in a moment."),
    "server.storage_failed": Meaning(
        503, "The log cannot be written", "Nothing was accepted. Check the disk: `caisey doctor`."
    ),
    "server.not_ready": Meaning(503, "Caisey is starting or stopping", "Try again in a moment."),
    "server.internal": Meaning(500, "A defect in Caisey", "Nothing more is known here. The log has the details."),
    # -- how people get in --
    "sign_in.refused": Meaning(401, "That did not fit", "Check the address, the password and the code."),
    "sign_in.too_often": Meaning(429, "Too many tries", "Wait, then try again. Nobody is locked out for good."),
    "sign_in.not_private": Meaning(
        403, "A password typed here could be read on the way", "Use https, or this very machine. See `public_url`."
    ),
    "member_link.invalid": Meaning(404, "This link does not work any more", "Ask for a new one. Each works once."),
    "password.too_weak": Meaning(422, "This password is too easy to guess", "Use 12 characters or more."),
    "password.wrong": Meaning(422, "That is not your password", "Type the one that you sign in with."),
    "password.needed": Meaning(422, "Your password is asked for once more", "Type the one that you sign in with."),
    "totp.code_wrong": Meaning(422, "The code does not fit", "Type the code that the app shows now."),
    "totp.already_on": Meaning(409, "A second factor is on already", "Turn it off first, then set up the new device."),
    "totp.not_begun": Meaning(409, "No second factor is being set up", "Begin anew."),
    "totp.not_on": Meaning(409, "No second factor is on", "Set one up first."),
    "passkey.unfit": Meaning(422, "The passkey's answer does not fit", "Begin anew, and finish within five minutes."),
    "passkey.known": Meaning(409, "This passkey is known already", "Use another device, or remove it first."),
    "passkey.too_many": Meaning(409, "You have 20 passkeys already", "Remove one that you do not use."),
    "passkey.needs_name": Meaning(
        409, "Passkeys need a host name", "Open the console as `localhost` or under its public name, not by an address."
    ),
    "me.no_member": Meaning(409, "An API token has no account", "Sign in as a member for this."),
    # -- organizations, access, endpoints --
    "organization.name_taken": Meaning(409, "An organization has this name", "Choose another name."),
    "client_group.name_taken": Meaning(409, "A client group has this name", "Choose another name."),
    "snippet.name_taken": Meaning(409, "A snippet has this name", "Choose another name."),
    "snippet.too_many": Meaning(409, "There are as many snippets as there may be", "Remove one first."),
    "member.email_taken": Meaning(409, "A member has this address", "Change that member, or use another address."),
    "member.last_owner": Meaning(
        409, "No other owner could sign in then", "Make somebody else an owner first, and let them sign in."
    ),
    "endpoint.not_joinable": Meaning(409, "These two cannot be joined", "See `detail`."),
    "endpoint.nothing_to_review": Meaning(409, "No journal of this computer went back in time", "Nothing to do."),
    "runtime.not_suspected": Meaning(409, "Nothing about this agent waits for a decision", "Nothing to do."),
    "enrollment.token_invalid": Meaning(401, "The enrollment token is not valid", "Make a new one in the console."),
    "enrollment.token_expired": Meaning(401, "The enrollment token has expired", "Make a new one in the console."),
    "enrollment.token_used_up": Meaning(
        401, "The enrollment token has no uses left", "Make a new one, with as many `uses` as there are computers."
    ),
    "enrollment.key_already_enrolled": Meaning(
        409, "This key is enrolled already", "Enroll with a new key (a new state directory)."
    ),
    "enrollment.invalid_shape": Meaning(422, "The enrollment does not fit", "See `errors` for each place."),
    # -- sessions, prompts, actions --
    "session.open_work": Meaning(409, "The session has open work", "Name each open tool call in `drop` or `keep`."),
    "session.no_handover": Meaning(409, "This session is not offered to anybody", "Offer it first, or take it."),
    "session.handover_not_yours": Meaning(
        409, "This offer is for somebody else", "It is taken by the one it names, and withdrawn by the owner."
    ),
    "session.closed": Meaning(409, "The session is closed", "Open a new session on the computer."),
    "endpoint.removing": Meaning(409, "The computer is being removed", "Undo the removal first."),
    "prompt.malformed_call": Meaning(422, "The input does not fit the tool", "See `errors`. Nothing was sent."),
    "prompt.model_not_configured": Meaning(
        422, "No model is set up", "Send `tool_calls` instead of `text`, or set up a model."
    ),
    "prompt.too_many": Meaning(409, "Too many requests are open in this session", "Wait until some have ended."),
    "action.not_offered": Meaning(409, "This is not possible now", "See `offered` and `why`."),
    "action.stale": Meaning(409, "Something happened since you looked", "Read what is `new`, then decide again."),
    "action.seen_required": Meaning(
        422, "This may change things, so `seen` is needed", "Send the prompt's `sequence` as `seen`."
    ),
    "action.effect_lowered": Meaning(422, "The effect may only be raised", "Leave `effect` out, or raise it."),
    # -- attention --
    "attention.snooze_refused": Meaning(422, "It cannot be put aside like this", "See `detail`."),
    "attention.nothing_snoozed": Meaning(409, "This is not put aside", "Nothing to do."),
    # -- the door of runtimes --
    "handshake.invalid_hello": Meaning(0, "Not one valid hello", "Answer the challenge with one valid `hello`."),
    "handshake.timeout": Meaning(0, "No hello in time", "Answer the challenge within 10 s."),
    "handshake.protocol_unsupported": Meaning(0, "This protocol is not supported", "Update the runtime."),
    "handshake.challenge_mismatch": Meaning(
        0, "The hello answers another challenge", "Echo the nonce of this connection's challenge."
    ),
    "handshake.control_plane_key_unknown": Meaning(
        0, "The runtime trusts another control plane", "Enroll it here, with a new state directory."
    ),
    "handshake.runtime_unknown": Meaning(0, "The runtime is not enrolled here", "Enroll it again."),
    "handshake.signature_invalid": Meaning(
        0, "The hello is not signed with the enrolled key", "Enroll the runtime again."
    ),
    "handshake.welcome_invalid": Meaning(
        0, "The welcome does not prove the control plane", "Something stands between the two. Check the network path."
    ),
    "runtime.clone_suspected": Meaning(
        0, "Two computers hold this key", "Decide which one it is: `caisey runtime accept`, or revoke it."
    ),
    "runtime.too_many_faults": Meaning(0, "Too many of its frames could not be read", "Update the runtime."),
    "connection.subprotocol_missing": Meaning(
        400, "The subprotocol is missing", "Offer `caisey.runtime.v1` in `Sec-WebSocket-Protocol`."
    ),
    "connection.ended": Meaning(410, "This connection has ended", "Begin a new one: poll with `connection` null."),
    "connection.poll_too_old": Meaning(
        409, "The answer to this poll is not kept any more", "Go on with a higher `sequence`."
    ),
    # -- refusals by a runtime, and conclusions --
    "attempt.superseded": Meaning(0, "An earlier try of this call ran or runs", "Nothing to do; see that try."),
    "attempt.withdrawn": Meaning(0, "Taken back before it started", "Send it again if it is still wanted."),
    "runtime.busy": Meaning(0, "The agent is busy", "It is sent when one of its calls ends."),
    "runtime.revoked": Meaning(0, "The agent was revoked", "Use another agent, or enroll it again."),
    "runtime.cannot_start": Meaning(
        0, "The agent could not start the command", "See its hint; check the agent on the computer."
    ),
    "tool.unknown": Meaning(0, "The agent does not have this tool", "Update the agent, or use another tool."),
    "tool.version_unknown": Meaning(0, "The agent has the tool in another version", "Update the agent."),
    "tool.wrong_platform": Meaning(0, "The tool is not for this operating system", "Use a shell instead."),
    "tool.arguments_invalid": Meaning(
        0, "The agent's tool does not take these arguments", "Update the agent: its tool differs from ours."
    ),
    "dispatch.changed": Meaning(0, "The arguments differ from those in the journal", "Send it as a new call."),
    "dispatch.too_old": Meaning(0, "It waited longer than it may", "Send it again if it is still wanted."),
    "dispatch.signature": Meaning(0, "The signature does not fit", "Check the control plane's key: `caisey doctor`."),
    "dispatch.misaddressed": Meaning(0, "Meant for another runtime or incarnation", "Nothing to do; it is sent again."),
    "journal.full": Meaning(0, "The endpoint's journal cannot be written", "Free disk space on the endpoint."),
    "frame.invalid_json": Meaning(0, "A frame is not JSON", "Update the runtime."),
    "frame.invalid_shape": Meaning(0, "A frame does not fit the protocol", "Update the runtime."),
    "frame.too_large": Meaning(0, "A frame is over 1 MiB", "Update the runtime."),
    "frame.unexpected": Meaning(0, "A frame came where it may not", "Update the runtime."),
    "frame.not_yours": Meaning(0, "A frame about an attempt of another runtime", "Update the runtime."),
}


class Fault(Exception):
    """A command that is refused, with everything the person needs. Whose fault: the caller's."""

    def __init__(self, code: str, detail: str | None = None, **extra: Any) -> None:
        meaning = CODES[code]
        super().__init__(f"{code}: {detail or meaning.title}")
        self.code = code
        self.title = meaning.title
        self.hint = meaning.hint
        self.status = meaning.status
        self.detail = detail
        self.extra = extra
