"""Adding a computer: the open commands, and how far each one that joins has come.

Owns the steps and what is said where one stays open. Pure, from `GET /enrollment-tokens/{id}` and `GET
/endpoints/{id}`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from caisey.core.plain_text import one_line
from caisey.web.times import ms_of
from caisey.web.views.endpoints import Ready, ready
from caisey.web.words import WORDS, word

Document = dict[str, Any]

NAME_LENGTH: Final = 60
SYSTEMS: Final = ("linux", "macos", "windows", "practice")
ENDS: Final = ("900", "3600", "86400", "604800")
SCOPES: Final = ("organization", "client_group", "endpoint")
NOTHING_YET_MS: Final = 120_000
STAYS_OPEN_MS: Final = 20_000
STEPS: Final = ("used", "enrolled", "connected", "proved", "ready")


class Step(NamedTuple):
    """One step: done, under way, or later; `wrong` says what to look at where it stays open."""

    label: str
    tone: str
    icon: str
    at: str
    note: str
    wrong: str


class Joined(NamedTuple):
    """One computer that joined, in a line."""

    id: str
    name: str
    ready: Ready
    done: bool


class Token(NamedTuple):
    """One open command."""

    id: str
    what: str
    used: str
    over: str
    by: str
    created_at: str
    ends_at: str


def steps(token: Document, endpoint: Document | None, runtime_id: str, url: str, now_ms: int) -> list[Step]:
    """How far the newest one has come. `endpoint` is None while nobody has joined."""
    runtime = next((one for one in (endpoint or {}).get("runtimes", ()) if one["id"] == runtime_id), None)
    enrolled = token["enrolled"][0]["at"] if token["enrolled"] else ""
    waited = now_ms - ms_of(enrolled) if enrolled else 0
    reached = {
        "used": token["used"] > 0,
        "enrolled": runtime is not None,
        "connected": runtime is not None and bool(runtime["bridges"]),
        "proved": runtime is not None and bool(runtime["bridges"]) and bool(runtime["last_proof_at"]),
        "ready": runtime is not None and endpoint is not None and endpoint["sendable"]["value"],
    }
    times = {
        "used": enrolled,
        "enrolled": enrolled,
        "proved": (runtime or {}).get("last_proof_at") or "",
    }
    first_open = next((name for name in STEPS if not reached[name]), None)
    found = []
    for name in STEPS:
        label = WORDS[f"add.step.{name}"]
        if reached[name]:
            found.append(Step(label, "done", "done", times.get(name, ""), "", ""))
        elif name == first_open:
            wrong = _wrong(name, token, endpoint, runtime, waited, url, now_ms)
            note = WORDS["add.wait.used"] if name == "used" and not wrong else ""
            found.append(Step(label, "ask" if wrong else "run", "ask" if wrong else "wait", "", note, wrong))
        else:
            found.append(Step(label, "plain", "plain", "", "", ""))
    return found


def _wrong(
    name: str,
    token: Document,
    endpoint: Document | None,
    runtime: Document | None,
    waited: int,
    url: str,
    now_ms: int,
) -> str:
    """What to look at where a step stays open longer than it should."""
    if name == "used":
        if token["expired"]:
            return WORDS["add.wrong.expired"]
        long = now_ms - ms_of(token["created_at"]) > NOTHING_YET_MS
        return word("add.wrong.used", url=url) if long else ""
    if name == "connected" and runtime is not None and runtime["incarnation"]:
        return WORDS["add.wrong.gone"]
    if waited <= STAYS_OPEN_MS or endpoint is None:
        return ""
    if name == "ready":
        reason = endpoint["sendable"]["reason"] or endpoint["health"]
        return word("add.wrong.ready", why=WORDS.get(f"add.why.{reason}", WORDS["add.why.unhealthy"]))
    return WORDS.get(f"add.wrong.{name}", "")


def joined(endpoints: list[Document]) -> list[Joined]:
    """The computers that joined, in a line each."""
    return [
        Joined(one["id"], one_line(one["name"], NAME_LENGTH), ready(one), one["sendable"]["value"]) for one in endpoints
    ]


def token_line(token: Document, groups: dict[str, str], computers: dict[str, str]) -> Token:
    """One line of the list of open commands."""
    if token["scope"] == "endpoint":
        name = computers.get(token["endpoint_id"], WORDS["attention.gone"])
        what = word("add.scope.endpoint.of", computer=one_line(name, NAME_LENGTH))
    elif token["scope"] == "client_group":
        what = one_line(groups.get(token["client_group_id"], ""), NAME_LENGTH)
    else:
        what = WORDS["tokens.organization"]
    over = ""
    if token["used"] >= token["uses"]:
        over = WORDS["tokens.used_up"]
    elif token["expired"]:
        over = WORDS["tokens.ended"]
    used = word("tokens.used_of", used=token["used"], uses=token["uses"])
    return Token(token["id"], what, used, over, token["created_by"], token["created_at"], token["expires_at"])


def uses_words(uses: int) -> str:
    """once, 3 times."""
    return WORDS["add.uses.1"] if uses == 1 else word("add.uses.n", n=uses)
