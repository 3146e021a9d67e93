"""The composer: what a technician writes, as a draft, and what is shown of it.

Owns the way from a form's fields to tool calls and back, and the forms that are made from a tool's argument schema.
Pure. It judges no argument: what does not fit is said by the API, place by place, and shown where it was typed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from caisey.core.interactive import waits_for
from caisey.core.plain_text import literal, one_line
from caisey.web.visit import Form
from caisey.web.words import WORDS, word

Document = dict[str, Any]

SHELLS: Final = ("shell", "powershell", "osascript")
MAX_STEPS: Final = 50
ARGUMENT: Final = "arg."
RUN_AS: Final = "run_as"
ACCOUNTS: Final = ("user", "system")
ROOT: Final = "root"
"""An agent of this account can run a command as anybody."""
STEPS_BYTES: Final = 1024 * 1024
FILE_BYTES: Final = 128 * 1024
"""What fits into one `file_write`, in base64."""
LITERAL_LENGTH: Final = 160
_LONG: Final = frozenset({"stdin", "text", "data"})


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the composer. `steps`: the earlier steps of the same request."""

    tool: str = ""
    values: Mapping[str, str] = {}
    effect: str = ""
    limit: str = ""
    side_by_side: bool = False
    steps: tuple[Document, ...] = ()
    warned: str = ""  # the word that was warned about already

    @property
    def empty(self) -> bool:
        """Whether nothing was typed for the newest step."""
        return not any(value.strip() for name, value in self.values.items() if name != RUN_AS)

    @property
    def run_as(self) -> str:
        """Whom it is to run as; empty: as the agent."""
        return self.values.get(RUN_AS, "")

    def following(self) -> Draft:
        """For what comes after it: the same tool, as the same account. Nobody is somebody else without a choice."""
        return Draft(tool=self.tool, values={RUN_AS: self.run_as} if self.run_as else {})


class Field(NamedTuple):
    """One argument as a form shows it. `kind`: text, long, number, choice, check, lines, pairs."""

    name: str
    label: str
    kind: str
    required: bool
    hint: str
    value: str
    options: tuple[str, ...]
    default: str
    invalid: str


class Step(NamedTuple):
    """One step that was added already."""

    number: int
    literal: str
    effect: str


class Composer(NamedTuple):
    """What the template shows."""

    tool: str
    shell: bool
    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    command: str
    command_invalid: str
    fields: tuple[Field, ...]
    more: tuple[Field, ...]
    effect: str  # as it is sent
    chooses: bool  # a person says what the command does
    effect_words: str
    steps: tuple[Step, ...]
    steps_json: str
    limit: str
    side_by_side: bool
    warning: str  # the word that waits for a keyboard
    runs_on: str
    client: str
    account: str
    accounts: tuple[tuple[str, str], ...]  # (run_as, words): what a person may choose; none where there is no choice
    run_as: str
    waits: str
    blocked: str
    fault: Any
    computer: str


# -- from the form -------------------------------------------------------------------------------------------------


def draft_of(form: Form) -> Draft:
    """As it was typed. What cannot be read of earlier steps is left out: nobody types them by hand."""
    values = {n.removeprefix(ARGUMENT): form.get(n) for n in form.names if n.startswith(ARGUMENT)}
    return Draft(
        tool=form.get("tool")[:64],
        values=values,
        effect=form.get("effect")[:16],
        limit=form.get("limit")[:16],
        side_by_side=bool(form.get("side_by_side")),
        steps=_steps(form.get("steps")),
        warned=form.get("warned")[:64],
    )


def _steps(text: str) -> tuple[Document, ...]:
    if not text or len(text) > STEPS_BYTES:
        return ()
    try:
        found = msgspec.json.decode(text.encode(), type=tuple[Document, ...])
    except (msgspec.MsgspecError, RecursionError):
        return ()
    return found[:MAX_STEPS]


def step_of(draft: Draft, tool: Document | None) -> Document:
    """The newest step as the API takes it."""
    schema = tool["arguments_schema"]["properties"] if tool else {}
    arguments: Document = {}
    for name, text in draft.values.items():
        if name == RUN_AS and name not in schema:
            continue  # it belongs to the tool that was chosen before
        found, value = _value(schema.get(name, {}), text, name)
        if found:
            arguments[name] = value
    step: Document = {"tool": draft.tool, "arguments": arguments}
    if draft.effect and tool and tool["effect_by_call"]:
        step["effect"] = draft.effect
    if draft.limit.strip():
        step["limits"] = {"time_ms": _milliseconds(draft.limit)}
    return step


def _milliseconds(text: str) -> int | str:
    """A text that is no number is sent as it is: the API says what it expected."""
    try:
        return round(float(text.strip().replace(",", ".")) * 1000)
    except (ValueError, OverflowError):
        return text.strip()


def _value(schema: Document, text: str, name: str) -> tuple[bool, Any]:
    """(whether it is there, the value). Text that is not of the schema's type stays text."""
    kind = _kind(schema, name)
    if kind == "check":
        return bool(text), True
    if kind in ("text", "choice", "number"):
        text = text.strip() if kind != "text" or name != "command" else text
    if not text.strip():
        return False, None
    if kind == "number":
        try:
            return True, int(text)
        except ValueError:
            return True, text
    if kind == "lines":
        return True, [line for line in text.split("\n") if line.strip()]
    if kind == "pairs":
        pairs = [line.partition("=") for line in text.split("\n") if line.strip()]
        return True, {pair_name.strip(): value for pair_name, _, value in pairs}
    return True, text.rstrip("\n") if name == "command" else text


def _kind(schema: Document, name: str) -> str:
    if "enum" in schema:
        return "choice"
    kind = {"integer": "number", "number": "number", "boolean": "check", "array": "lines", "object": "pairs"}.get(
        schema.get("type", "")
    )
    return kind or ("long" if name in _LONG else "text")


# -- to the page ---------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where it would run, in words."""

    computer: str
    client: str
    account: str
    os: str
    signed_in: str  # who, as far as is known
    others: bool  # a command may be run as somebody else than the agent
    waits: bool
    blocked: str


def place_of(session: Document, endpoint: Document | None, *, may_send: bool) -> Place:
    """From the documents of the session and of its computer (None: gone, or not in sight)."""
    computer = one_line(session["computer"], 60)
    facts = (endpoint or {}).get("facts") or {}
    blocked = ""
    if not may_send:
        blocked = WORDS["composer.role"]
    elif session["closed"]:
        blocked = WORDS["composer.closed"]
    elif endpoint is None:
        blocked = WORDS["composer.gone"]
    elif endpoint["removing"]:
        blocked = WORDS["composer.removing"]
    user = (facts.get("runs_as") or {}).get("value")
    others = bool((facts.get("runs_as_others") or {}).get("value")) and user == ROOT
    signed_in = (facts.get("signed_in_users") or {}).get("value")
    return Place(
        computer=computer,
        client=one_line(session["client"] or "", 60),
        account=word("composer.as", user=one_line(str(user), 40)) if user else WORDS["composer.as_agent"],
        os=str((facts.get("os") or {}).get("value") or ""),
        signed_in=one_line(", ".join(map(str, signed_in)), 60) if isinstance(signed_in, list) else "",
        others=others,
        waits=endpoint is not None and not endpoint["sendable"]["value"],
        blocked=blocked,
    )


def composer_of(
    place: Place, tools: Sequence[Document], draft: Draft, *, warning: str = "", fault: Any = None
) -> Composer:
    """`fault`: an ApiFault about this draft; its pointers are shown beside the fields they name."""
    offered = _newest(tools, place.os)
    name = draft.tool if draft.tool in offered else _first(place.os)
    tool = offered.get(name)
    shell = name in SHELLS
    invalid = _invalid(fault, len(draft.steps))
    every = () if tool is None else tuple(_fields(tool, draft.values, invalid))
    fields = tuple(f for f in every if f.name not in ("command", RUN_AS))
    effect = _effect(tool, draft)
    return Composer(
        tool=name,
        shell=shell,
        groups=_groups(offered, place.os),
        command=draft.values.get("command", ""),
        command_invalid=invalid.get("command", ""),
        fields=() if shell else fields,
        more=fields if shell else (),
        effect=effect,
        chooses=bool(tool and tool["effect_by_call"]),
        effect_words=_effect_words(effect, tool),
        steps=tuple(_shown(step, n) for n, step in enumerate(draft.steps, 1)),
        steps_json=msgspec.json.encode(draft.steps).decode(),
        limit=draft.limit,
        side_by_side=draft.side_by_side,
        warning=warning,
        runs_on=word("composer.runs_on", computer=place.computer),
        client=place.client,
        account=place.account,
        accounts=_accounts(place, tool, draft.run_as),
        run_as=draft.run_as,
        waits=word("composer.waits", computer=place.computer) if place.waits else "",
        blocked=place.blocked,
        fault=fault,
        computer=place.computer,
    )


def _accounts(place: Place, tool: Document | None, chosen: str) -> tuple[tuple[str, str], ...]:
    """Whom it may be run as. The agent's own account stands first: it is the one that every agent has.

    What was chosen for an earlier command stays to be seen, also where it can no longer be had.
    """
    if tool is None or RUN_AS not in tool["arguments_schema"]["properties"] or not (place.others or chosen):
        return ()
    user = word("composer.as.user_named", user=place.signed_in) if place.signed_in else WORDS["composer.as.user"]
    system = (("system", WORDS["composer.as.system"]),) if chosen == "system" else ()
    return (("", place.account), *system, ("user", user))


def warning_of(draft: Draft, os: str) -> str:
    """The word in the newest step that waits for a keyboard, unless it was said already."""
    found = waits_for(draft.tool or _first(os), draft.values.get("command", ""), windows=os == "windows")
    return "" if found is None or found == draft.warned else found


def _first(os: str) -> str:
    return "powershell" if os == "windows" else "shell"


def _newest(tools: Sequence[Document], os: str) -> dict[str, Document]:
    """The newest version of each tool that there is for the system; of an unknown system, all."""
    found: dict[str, Document] = {}
    for tool in tools:
        if (not os or os in tool["platforms"]) and tool["version"] >= found.get(tool["name"], tool)["version"]:
            found[tool["name"]] = tool
    return found


def _groups(offered: Mapping[str, Document], os: str) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    sorts: dict[str, list[tuple[str, str]]] = {"shells": [], "reads": [], "changes": []}
    for name, tool in offered.items():
        key = f"composer.tool.{name}"
        label = WORDS.get(f"{key}.{os}", WORDS.get(key, name))
        sort = "shells" if name in SHELLS else "reads" if tool["effect"] == "read_only" else "changes"
        sorts[sort].append((name, label))
    return tuple((WORDS[f"composer.tool.{sort}"], tuple(names)) for sort, names in sorts.items() if names)


def _fields(tool: Document, values: Mapping[str, str], invalid: Mapping[str, str]) -> list[Field]:
    schema = tool["arguments_schema"]
    needed = set(schema.get("required", ()))
    found = []
    for name, one in schema["properties"].items():
        kind = _kind(one, name)
        hint = str(one.get("description", ""))
        if kind in ("lines", "pairs"):
            hint = f"{hint} {WORDS[f'composer.{kind}']}".strip()
        found.append(
            Field(
                name=name,
                label=name.replace("_", " "),
                kind=kind,
                required=name in needed,
                hint=hint,
                value=values.get(name, ""),
                options=tuple(str(option) for option in one.get("enum", ())),
                default=str(one.get("default", "")),
                invalid=invalid.get(name, ""),
            )
        )
    return sorted(found, key=lambda field: not field.required)


def _invalid(fault: Any, place: int) -> dict[str, str]:
    """By argument: what does not fit, of the newest step."""
    if fault is None:
        return {}
    start = f"/tool_calls/{place}/arguments/"
    found: dict[str, str] = {}
    for error in fault.problem.get("errors", ()):
        pointer = str(error.get("pointer", ""))
        if pointer.startswith(start):
            name = pointer.removeprefix(start).split("/")[0]
            said = f"{one_line(str(error.get('expected')), 80)}; {one_line(str(error.get('found')), 40)}"
            found.setdefault(name, said)
    return found


def _effect(tool: Document | None, draft: Draft) -> str:
    if tool is None or tool["effect_by_call"]:
        return draft.effect if draft.effect in ("read_only", "idempotent", "mutating") else "mutating"
    for argument, by_value in (tool.get("effect_by_argument") or {}).items():
        milder = by_value.get(draft.values.get(argument, ""))
        if milder:
            return str(milder)
    return str(tool["effect"])


_EFFECT_WORDS: Final = {"read_only": "reads", "idempotent": "safe", "mutating": "changes"}


def effect_label(effect: str) -> str:
    """What people read for an effect."""
    return WORDS[f"composer.{_EFFECT_WORDS.get(effect, 'changes')}"]


def _effect_words(effect: str, tool: Document | None) -> str:
    if tool is None or tool["effect_by_call"]:
        return ""
    hint = WORDS["composer.changes.hint"] if effect == "mutating" else WORDS["composer.reads.hint"]
    return word("composer.effect.fixed", effect=effect_label(effect), hint=hint)


def _shown(step: Document, number: int) -> Step:
    arguments = step.get("arguments")
    said = literal(str(step.get("tool", "")), arguments if isinstance(arguments, dict) else {}, LITERAL_LENGTH)
    effect = str(step.get("effect") or "")
    return Step(number, said, effect_label(effect) if effect else "")
