"""The rows of the directory, as values, and how a value becomes a row and back.

Owns the record types: one per table of `storage/schema/directory.sql`, fields named and ordered as its columns. A
record is never edited; a changed one is saved again. Must never hold a secret: tokens stand here as digests.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self

import msgspec
from msgspec import inspect

from caisey.control.roles import Role
from caisey.core.policy import PolicyFields


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `TABLE` is where it stands, `KEY` which columns name it."""

    TABLE: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]

    @property
    def key(self) -> str:
        """What names it among its kind."""
        return "\n".join(str(getattr(self, column)) for column in self.KEY)


class Organization(Record, frozen=True, kw_only=True):
    """One tenant."""

    TABLE = "organizations"
    KEY = ("organization_id",)

    organization_id: str
    name: str
    created_at_ms: int


class ClientGroup(Record, frozen=True, kw_only=True):
    """One customer or environment."""

    TABLE = "client_groups"
    KEY = ("client_group_id",)

    client_group_id: str
    organization_id: str
    name: str
    created_at_ms: int


class Machine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a computer said of itself when it was enrolled. `practice`: it executes nothing, its answers are made up."""

    hostname: str
    os: str
    os_version: str
    arch: str
    practice: bool = False


class Endpoint(Record, frozen=True, kw_only=True):
    """One computer."""

    TABLE = "endpoints"
    KEY = ("endpoint_id",)

    endpoint_id: str
    organization_id: str
    client_group_id: str | None
    name: str
    tags: tuple[str, ...]
    machine: Machine
    machine_fingerprint: str
    like_endpoint_id: str | None = None
    created_at_ms: int
    removing_since_ms: int | None = None
    removed_at_ms: int | None = None


class Runtime(Record, frozen=True, kw_only=True):
    """One enrolled key on an endpoint."""

    TABLE = "runtimes"
    KEY = ("runtime_id",)

    runtime_id: str
    organization_id: str
    endpoint_id: str
    public_key: bytes
    journal_id: str
    machine_fingerprint: str
    version: str
    boot_id: str
    enrolled_at_ms: int
    suspected_since_ms: int | None = None
    revoked_at_ms: int | None = None
    compromised: bool = False


class ApiToken(Record, frozen=True, kw_only=True):
    """A way in for programs."""

    TABLE = "api_tokens"
    KEY = ("token_id",)

    token_id: str
    organization_id: str
    digest: bytes
    name: str
    role: Role
    client_groups: tuple[str, ...] | None
    created_by: str
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None = None
    group_roles: dict[str, Role | None] = {}


class Member(Record, frozen=True, kw_only=True):
    """A person of the organization."""

    TABLE = "members"
    KEY = ("member_id",)

    member_id: str
    organization_id: str
    name: str
    email: str
    role: Role
    client_groups: tuple[str, ...] | None
    created_at_ms: int
    removed_at_ms: int | None = None
    group_roles: dict[str, Role | None] = {}


class EnrollmentToken(Record, frozen=True, kw_only=True):
    """A right to enroll, with an end."""

    TABLE = "enrollment_tokens"
    KEY = ("token_id",)

    token_id: str
    organization_id: str
    digest: str
    scope: str
    client_group_id: str | None
    endpoint_id: str | None
    uses: int
    used: int
    created_by: str
    created_at_ms: int
    expires_at_ms: int
    deleted_at_ms: int | None = None


class Enrollment(Record, frozen=True, kw_only=True):
    """The first answer to a token and a key."""

    TABLE = "enrollments"
    KEY = ("token_digest", "public_key")

    token_digest: str
    public_key: bytes
    runtime_id: str
    answer: bytes
    at_ms: int


class PolicyLevel(Record, frozen=True, kw_only=True):
    """What one level of one organization sets."""

    TABLE = "policies"
    KEY = ("organization_id", "level", "subject")

    organization_id: str
    level: str
    subject: str
    fields: PolicyFields
    updated_at_ms: int


class Fact(Record, frozen=True, kw_only=True):
    """One thing known of a computer, with its age."""

    TABLE = "facts"
    KEY = ("endpoint_id", "name")

    endpoint_id: str
    name: str
    value: Any
    source: str
    at_ms: int


class Snippet(Record, frozen=True, kw_only=True):
    """A command that people keep for the composer. Changing one is removing it and keeping another."""

    TABLE = "snippets"
    KEY = ("snippet_id",)

    snippet_id: str
    organization_id: str
    name: str
    tool: str
    command: str
    effect: str | None = None
    created_by: str
    created_at_ms: int
    removed_at_ms: int | None = None


KINDS: Final[tuple[type[Record], ...]] = (
    Organization,
    ClientGroup,
    Endpoint,
    Runtime,
    ApiToken,
    Member,
    EnrollmentToken,
    Enrollment,
    PolicyLevel,
    Fact,
    Snippet,
)

_PLAIN: Final = (str, int, bytes, bool, type(None))


class Columns(msgspec.Struct, frozen=True):
    """How one kind of record is written and read."""

    kind: type[Record]
    names: tuple[str, ...]
    as_json: frozenset[str]
    save: str
    select: str

    @classmethod
    def of(cls, kind: type[Record]) -> Self:
        """Derived from the record's fields."""
        names = kind.__struct_fields__
        rest = [name for name in names if name not in kind.KEY]
        changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
        marks = ", ".join("?" * len(names))
        listed = ", ".join(names)
        described = inspect.type_info(kind)
        fields = described.fields if isinstance(described, inspect.StructType) else ()
        return cls(
            kind=kind,
            names=names,
            as_json=frozenset(field.name for field in fields if not _is_plain(field.type)),
            # Every name here is a constant of this module; only values are bound.
            save=f"INSERT INTO {kind.TABLE} ({listed}) VALUES ({marks})"  # noqa: S608
            f" ON CONFLICT ({', '.join(kind.KEY)}) DO UPDATE SET {changes}",
            select=f"SELECT {listed} FROM {kind.TABLE}",  # noqa: S608
        )

    def row(self, record: Record) -> tuple[str | int | bytes | None, ...]:
        """The values to bind, in the order of the columns."""
        return tuple(self._cell(name, getattr(record, name)) for name in self.names)

    def record(self, row: tuple[Any, ...]) -> Record:
        """The record that `row` is."""
        document = {
            name: msgspec.json.decode(cell) if name in self.as_json and cell is not None else cell
            for name, cell in zip(self.names, row, strict=True)
        }
        return msgspec.convert(document, self.kind, strict=False)

    def _cell(self, name: str, value: Any) -> str | int | bytes | None:
        if name in self.as_json:
            return None if value is None else msgspec.json.encode(value).decode()
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, _PLAIN):
            return value
        raise TypeError(f"{self.kind.TABLE}.{name} cannot hold {type(value).__name__}")


def _is_plain(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return all(_is_plain(option) for option in kind.types)
    return isinstance(
        kind,
        inspect.StrType | inspect.IntType | inspect.BytesType | inspect.BoolType | inspect.NoneType | inspect.EnumType,
    )


COLUMNS: Final[dict[type[Record], Columns]] = {kind: Columns.of(kind) for kind in KINDS}
