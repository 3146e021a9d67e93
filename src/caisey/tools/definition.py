"""What a tool is: its schemas, its effect, where it runs, and the read-only check that goes with it.

Owns the form of a definition and its digest. Holds no tool itself (`catalogue`) and executes none (`planning`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from caisey.core.canonical import canonical
from caisey.protocol.fields import Effect
from caisey.protocol.frames import ToolReference

Schema = dict[str, Any]
PlatformName = Literal["linux", "windows", "macos"]

EVERYWHERE: Final[tuple[PlatformName, ...]] = ("linux", "windows", "macos")
_RISING: Final[tuple[Effect, ...]] = ("read_only", "idempotent", "mutating")


class FromArgument(Struct, frozen=True, tag_field="from", tag="argument"):
    """A value of the check that is taken from the call's own arguments."""

    name: str


class Constant(Struct, frozen=True, tag_field="from", tag="constant"):
    """A value of the check that is always the same."""

    value: str | int | bool


class Check(Struct, frozen=True, kw_only=True):
    """The read-only look at what a call changes: what `verify` sends (RECOVERY.md §1).

    `arguments` null: it cannot be told from the call what to look at, so the person writes the arguments.
    """

    tool: str
    version: int
    arguments: dict[str, FromArgument | Constant] | None = None

    def arguments_for(self, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """The check's arguments for a call with these arguments; `None` where a person has to write them."""
        if self.arguments is None:
            return None
        derived: dict[str, Any] = {}
        for name, source in self.arguments.items():
            if isinstance(source, Constant):
                derived[name] = source.value
            elif source.name in arguments:
                derived[name] = arguments[source.name]
        return derived


class Tool(Struct, frozen=True, kw_only=True, dict=True):
    """One version of one tool. Changing anything below is a new version, since runtimes compare digests.

    `effect` is that of any call, unless `effect_by_argument` names a milder one for the value of an argument.
    `effect_by_call`: the definition cannot know (a shell), so a person, never a model, may state it (RECOVERY.md §1).
    `result_schema` null: the streams are all there is.
    """

    name: str
    version: int
    summary: str
    platforms: tuple[PlatformName, ...]
    arguments_schema: Schema
    result_schema: Schema | None = None
    effect: Effect = "mutating"
    effect_by_call: bool = False
    effect_by_argument: dict[str, dict[str, Effect]] = {}
    verify: Check | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical definition: two ends with the same digest mean the same tool."""
        return hashlib.sha256(canonical(self.document())).hexdigest()

    @property
    def reference(self) -> ToolReference:
        """The tool as a `hello` names it."""
        return ToolReference(name=self.name, version=self.version, digest=self.digest)

    def document(self) -> dict[str, Any]:
        """The definition as JSON, without its digest: what the API shows."""
        document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return document

    def effect_of(self, arguments: Mapping[str, Any]) -> Effect:
        """The effect of a call with these arguments, when nobody says more."""
        for name, effects in self.effect_by_argument.items():
            value = arguments.get(name)
            if isinstance(value, str) and value in effects:
                return effects[value]
        return self.effect

    def effect_for(self, arguments: Mapping[str, Any], *, stated: Effect | None, by_person: bool) -> Effect | None:
        """The effect a call gets when its caller states one; `None` where that would lower it and may not.

        A caller may only raise it, except for a person and a tool with `effect_by_call` (RECOVERY.md §1).
        """
        own = self.effect_of(arguments)
        if stated is None:
            return own
        may_lower = self.effect_by_call and by_person
        return stated if may_lower or _RISING.index(stated) >= _RISING.index(own) else None
