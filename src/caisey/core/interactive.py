"""Commands that look as if they wait for somebody at a keyboard (CONSOLE.md, complaints: a prompt nobody sees).

Owns the list. It reads a command as text and can be wrong both ways, so what follows from it is a hint before sending,
never a refusal: a command that waits can be answered from the session.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 20_000
"""Characters that are looked at: a longer text is a script, and the look has to be quick."""

_SEPARATOR: Final = re.compile(r"\|\||&&|[;\n|&]")
_LEADING: Final = re.compile(
    r"^(?:\s|\(|\{|then\b|do\b|else\b|if\b|sudo\b(?:\s+-[A-Za-z]+)*|time\b|nohup\b|exec\b|env\b|[A-Za-z_]\w*=\S*)+"
)
_UNIX_BARE: Final = frozenset(
    {
        "bash",
        "sh",
        "zsh",
        "ksh",
        "dash",
        "python",
        "python3",
        "node",
        "irb",
        "mysql",
        "psql",
        "sqlite3",
        "ftp",
        "telnet",
        "su",
    }
)
_UNIX_ALWAYS: Final = frozenset(
    {"vi", "vim", "nano", "emacs", "less", "more", "top", "htop", "passwd", "visudo", "menuconfig", "mc", "watch"}
)
_WINDOWS_BARE: Final = frozenset({"cmd", "powershell", "pwsh", "diskpart", "nslookup", "ftp", "telnet", "python"})
_WINDOWS_ALWAYS: Final = frozenset({"pause", "choice", "edit", "read-host", "get-credential", "out-gridview"})
_UNATTENDED: Final = {
    "top": re.compile(r"(?:^|\s)-[A-Za-z]*b"),
    "choice": re.compile(r"/t\b", re.IGNORECASE),
    "passwd": re.compile(r"(?:^|\s)(?:-[A-Za-z]*[lusd]|--stdin)"),
    "get-credential": re.compile(r"-credential\b", re.IGNORECASE),
}
_ASKING: Final = (
    (re.compile(r"(?:^|[\s;(])(read\s+-p)\b"), ("shell",)),
    (re.compile(r"(?:^|[\s;|(=])(Read-Host)\b", re.IGNORECASE), ("powershell",)),
    (re.compile(r"(?:^|\s)(set\s+/p)\b", re.IGNORECASE), ("shell",)),
    (
        re.compile(
            r"\b(apt(?:-get)?\s+(?:install|remove|upgrade|dist-upgrade|autoremove))\b(?!.*\s(?:-y|--yes|-qq)\b)"
        ),
        ("shell",),
    ),
    (re.compile(r"\b((?:dnf|yum)\s+(?:install|remove|update|upgrade))\b(?!.*\s-y\b)"), ("shell",)),
    (re.compile(r"\b(display\s+dialog|choose\s+(?:file|folder|from\s+list))\b"), ("osascript",)),
)


def waits_for(tool: str, command: str, *, windows: bool = False) -> str | None:
    """The word in the command that is likely to wait for input; None where nothing looks like it."""
    text = command[:LONGEST]
    for pattern, tools in _ASKING:
        found = pattern.search(text) if tool in tools else None
        if found is not None:
            return " ".join(found[1].split())
    if tool not in ("shell", "powershell"):
        return None
    in_windows = windows or tool == "powershell"
    always, bare = (_WINDOWS_ALWAYS, _WINDOWS_BARE) if in_windows else (_UNIX_ALWAYS, _UNIX_BARE)
    pieces = _SEPARATOR.split(text)
    for place, piece in enumerate(pieces):
        word = _waiting_word(piece, always, bare, alone=len(pieces) == 1 or place == 0)
        if word is not None:
            return word
    return None


def _waiting_word(piece: str, always: frozenset[str], bare: frozenset[str], *, alone: bool) -> str | None:
    """`bare`: waits where it stands without arguments and nothing is piped into it."""
    words = _LEADING.sub("", piece).split()
    if not words:
        return None
    name = words[0].rsplit("/", 1)[-1].removesuffix(".exe").lower()
    rest = " ".join(words[1:])
    unattended = _UNATTENDED.get(name)
    if name in always and not (unattended is not None and unattended.search(rest)):
        return name
    return name if name in bare and not rest and alone else None
