"""Why a builtin failed: its stable codes and what each means.

Owns the list that `docs/tools.md` shows. A runtime reports the code beside an exit code of 1.
"""

from __future__ import annotations

TOOL_CODES: dict[str, str] = {
    "tool.unsupported": "This computer has nothing that could answer it. Use a shell instead.",
    "tool.not_found": "There is no such file, service or program.",
    "tool.permission_denied": "The runtime's account may not do it.",
    "tool.not_a_file": "The path is a directory, a device or a pipe.",
    "tool.file_changed": "The file is not the one that was expected. Read it again first.",
    "tool.file_too_large": "The file is too large to be kept for undoing. Move it away first.",
    "tool.undo_unknown": "There is nothing kept under that undo id for that path.",
    "tool.command_failed": "A program that the tool asked for help failed; its words are on stderr.",
    "tool.command_timed_out": "A program that the tool asked for help did not answer in time.",
    "tool.service_failed": "The service manager could not do it; its words are on stderr.",
    "tool.result_too_large": "The result is over 512 KiB. Ask for less.",
    "tool.os_error": "The operating system refused; its words are on stderr.",
}
