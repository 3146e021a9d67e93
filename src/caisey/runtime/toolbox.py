"""The tools of this endpoint, as the executor asks for them.

Owns the way from a dispatch to an order for the shim, and the refusals where there is no such tool. The tools
themselves, and how each becomes a command, are in `caisey.tools`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from caisey.protocol.frames import ToolReference
from caisey.runtime.accounts import Account, Accounts, environment
from caisey.runtime.executor import Planned
from caisey.runtime.journal import Refusal
from caisey.runtime.processes import Order
from caisey.tools.catalogue import find, on_platform
from caisey.tools.definition import PlatformName
from caisey.tools.planning import plan

PLATFORM_NAMES: Final[dict[str, PlatformName]] = {"linux": "linux", "darwin": "macos", "win32": "windows"}


class LocalToolbox:
    """Every tool that is defined for this platform."""

    def __init__(self, platform: PlatformName, undo: Path, accounts: Accounts | None = None) -> None:
        self._platform = platform
        self._undo = undo
        self._accounts = accounts

    def offers(self) -> tuple[ToolReference, ...]:
        return tuple(tool.reference for tool in on_platform(self._platform))

    def knows(self, tool: str, version: int) -> Refusal | None:
        if find(tool) is None:
            return Refusal("tool.unknown", "This agent has no such tool. Update it.")
        found = find(tool, version)
        if found is None:
            return Refusal("tool.version_unknown", "This agent has the tool in another version. Update it.")
        if self._platform not in found.platforms:
            return Refusal("tool.wrong_platform", "This tool is not for this operating system.")
        return None

    def plan(self, tool: str, version: int, arguments: Mapping[str, Any]) -> Planned | Refusal:
        refusal = self.knows(tool, version)
        found = find(tool, version)
        if found is None or refusal is not None:
            return refusal or Refusal("tool.unknown", "This agent has no such tool. Update it.")
        try:
            planned = plan(found, arguments, self._platform, undo_dir=str(self._undo))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # The control plane checks arguments before it signs them; a tool of another digest may want others.
            return Refusal(
                "tool.arguments_invalid", f"The tool cannot be run with these arguments: {type(error).__name__}."
            )

        account = self._account(arguments)
        if isinstance(account, Refusal):
            return account
        if account is not None and "cwd" not in arguments:
            planned = replace(planned, cwd=account.home if Path(account.home).is_dir() else planned.cwd)

        def order_in(folder: str) -> Order:
            argv, env = planned.argv_in(folder), planned.environment(os.environ, folder)
            if account is not None:
                argv, env = (*account.before, *argv), environment(env, account, arguments.get("env", {}))
            return Order(
                argv=argv,
                env=env,
                cwd=planned.cwd,
                stdin=planned.stdin,
                files=planned.files,
                result_fd=planned.result_fd,
            )

        return Planned(order_in, planned.cwd, planned.interpreter, None if account is None else account.name)

    def _account(self, arguments: Mapping[str, Any]) -> Account | Refusal | None:
        """None: the call names none, so it is the agent's own."""
        run_as = arguments.get("run_as")
        if run_as is None:
            return None
        if self._accounts is None:
            return Refusal("runtime.cannot_start", "This agent runs commands as its own account only.")
        return self._accounts.named(str(run_as))
