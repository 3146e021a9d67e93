"""The field types that bodies and queries share, with their bounds.

Owns the lengths. Text that people read is one line where it says so: control characters would forge lines elsewhere.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

ONE_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)"
NOT_BLANK: Final = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$(?!\n)"

Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$(?!\n)")]
Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=NOT_BLANK)]
Title = Annotated[str, Meta(max_length=256, pattern=ONE_LINE)]
Ticket = Annotated[str, Meta(max_length=128, pattern=ONE_LINE)]
Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\s/\x00-\x1f\x7f-\x9f]+$(?!\n)")]
Email = Annotated[str, Meta(min_length=3, max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$(?!\n)")]
Reason = Annotated[str, Meta(max_length=2_000)]
GivenReason = Annotated[str, Meta(min_length=1, max_length=2_000)]
Text = Annotated[str, Meta(min_length=1, max_length=16_384)]
Groups = Annotated[tuple[Id, ...], Meta(max_length=1_000)]
