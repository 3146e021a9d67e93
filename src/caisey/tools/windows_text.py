"""What Windows programs write, as text: console code pages, and PowerShell's error stream.

Owns the decoding for people. Stored bytes, their offsets and hashes are never touched by it.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree

CLIXML_MARK: Final = b"#< CLIXML"
CLIXML_BYTES: Final = 4 * 1024 * 1024
DEFAULT_CODE_PAGE: Final = 850
_ESCAPE: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_NAMESPACE: Final = "{http://schemas.microsoft.com/powershell/2004/04}"
_SHOWN: Final = frozenset({"Error", "Warning", "Verbose", "Debug", "Information"})


def console_text(data: bytes, code_page: int = DEFAULT_CODE_PAGE) -> str:
    """Text as a console program wrote it: UTF-16 or UTF-8 where it is that, else the OEM code page of the computer."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(_codec(code_page), "replace")


def _codec(code_page: int) -> str:
    name = f"cp{code_page}"
    try:
        "".encode(name)
    except LookupError:
        return f"cp{DEFAULT_CODE_PAGE}"
    return name


def error_text(data: bytes, code_page: int = DEFAULT_CODE_PAGE) -> str:
    """PowerShell's standard error: its messages out of CLIXML, and whatever native programs wrote around it."""
    start = data.find(CLIXML_MARK)
    if start < 0 or len(data) > CLIXML_BYTES:
        return console_text(data, code_page)
    before, document = data[:start], data[start + len(CLIXML_MARK) :]
    end = document.rfind(b"</Objs>")
    messages = _messages(document[: end + len(b"</Objs>")]) if end >= 0 else None
    if messages is None:
        return console_text(data, code_page)
    after = document[end + len(b"</Objs>") :].lstrip(b"\r\n")
    return console_text(before, code_page) + messages + console_text(after, code_page)


def _messages(document: bytes) -> str | None:
    """The text of every stream that people read. `None` where it is not the XML it says, or defines entities."""
    if b"<!" in document:
        return None
    try:
        root = ElementTree.fromstring(document.strip())  # noqa: S314  (without `<!` there are no entities to expand)
    except ElementTree.ParseError:
        return None
    shown = [node for node in root.iter(f"{_NAMESPACE}S") if node.get("S") in _SHOWN]
    return "".join(_unescaped(node.text or "") for node in shown).replace("\r\n", "\n")


def _unescaped(text: str) -> str:
    """`_x000D_` stands for a character that XML cannot hold; `_x005F_` for an underscore that would look like one."""
    units = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
