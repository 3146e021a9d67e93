"""Recovery policy: its fields, defaults, bounds, and how one level inherits from another (RECOVERY.md §6).

Levels, widest first: organization, client group, environment tag, endpoint. A level holds only the fields it sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from caisey.core.states import Effect

Seconds = Annotated[float, msgspec.Meta(gt=0, le=30 * 86_400)]
WhenUnhealthy = Literal["hold", "reroute", "escalate"]


class PolicyFields(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one level sets; UNSET fields are inherited. Seconds may have fractions."""

    heartbeat_interval_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] | msgspec.UnsetType = msgspec.UNSET
    missed_to_unhealthy: Annotated[int, msgspec.Meta(ge=1, le=100)] | msgspec.UnsetType = msgspec.UNSET
    ack_window_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    reconcile_window_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    sleep_expiry_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    stall_after_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    max_automatic: Annotated[int, msgspec.Meta(ge=0, le=20)] | msgspec.UnsetType = msgspec.UNSET
    automatic_for: Annotated[tuple[Effect, ...], msgspec.Meta(max_length=3)] | msgspec.UnsetType = msgspec.UNSET
    when_unhealthy: WhenUnhealthy | msgspec.UnsetType = msgspec.UNSET
    hold_expiry_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    mutating_age_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    approval_expiry_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    output_limit_bytes: Annotated[int, msgspec.Meta(ge=4096, le=1 << 32)] | msgspec.UnsetType = msgspec.UNSET
    escalate_to: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | msgspec.UnsetType | None = msgspec.UNSET


class Policy(msgspec.Struct, frozen=True):
    """The effective policy of one endpoint: every field has a value."""

    heartbeat_interval_s: float = 15.0
    missed_to_unhealthy: int = 2
    ack_window_s: float = 10.0
    reconcile_window_s: float = 120.0
    sleep_expiry_s: float = 12 * 3600.0
    stall_after_s: float = 60.0
    max_automatic: int = 2
    automatic_for: tuple[Effect, ...] = (Effect.READ_ONLY, Effect.IDEMPOTENT, Effect.MUTATING)
    when_unhealthy: WhenUnhealthy = "hold"
    hold_expiry_s: float = 3600.0
    mutating_age_s: float = 15 * 60.0
    approval_expiry_s: float = 30 * 60.0
    output_limit_bytes: int = 8 * 1024 * 1024
    escalate_to: str | None = None

    def ms(self, field: str) -> int:
        """A field that ends in `_s`, in whole milliseconds."""
        return int(getattr(self, f"{field}_s") * 1000)

    @property
    def ask_after_ms(self) -> int:
        """When, after a dispatch, the journal is asked: 2 s before the window ends, or at its half (RECOVERY.md §4)."""
        window = self.ms("ack_window")
        return window - 2000 if window >= 4000 else window // 2


FIELDS = tuple(Policy.__struct_fields__)


def effective(levels: Iterable[tuple[str, PolicyFields]]) -> tuple[Policy, dict[str, str]]:
    """Fold levels, widest first, each with its origin's name, into (policy, field -> origin)."""
    values: dict[str, object] = {}
    origins = dict.fromkeys(FIELDS, "default")
    for origin, level in levels:
        for field in FIELDS:
            value = getattr(level, field)
            if value is not msgspec.UNSET:
                values[field] = value
                origins[field] = origin
    return Policy(**values), origins  # type: ignore[arg-type]  # names and types are those of PolicyFields
