"""QR codes as SVG, drawn on the server: nothing is fetched, no script is needed."""

from __future__ import annotations

from typing import Final

import segno
from markupsafe import Markup

BORDER: Final = 4


def svg(text: str) -> Markup:
    """`text` as a picture, dark on light in both themes: readers of such codes want that."""
    made: str = segno.make(text, error="m", micro=False).svg_inline(
        border=BORDER, dark="#000000", light="#ffffff", svgclass="qr", lineclass=None, omitsize=True
    )
    return Markup(made)  # noqa: S704  # drawn by segno from modules; the text is not in it
