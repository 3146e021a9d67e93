"""`service`: the state of one service, asked for or changed, and what the change was.

Owns the choice of the service manager and the account of a change: the state before, the action, the state after. Each
manager is a module of `services` that knows only how to ask and how to act.
"""

from __future__ import annotations

from caisey.tools.builtin.report import Order, Report, Row, ToolError, change
from caisey.tools.builtin.services import ServiceManager, State, managers

_ENABLING = {"enable", "disable"}


def run(order: Order) -> Report:
    """Ask or act. A change that the manager refused is still reported, with the state it left."""
    name, action = order.text("name"), order.text("action")
    manager, before = found(managers(order.platform, order.optional_text("manager")), name)
    if action == "status":
        return Report(_result(name, manager, before), text=f"{name}: {before.state}")
    said = manager.act(name, action)
    after = manager.state(name) or State("unknown", None)
    changes = _changes(name, action, before, after)
    result = _result(name, manager, after)
    if said.exit_code != 0:
        words = f"{manager.name} could not {action} {name} ({said.exit_code}): {said.words}"
        raise ToolError("tool.service_failed", words, changes=changes, result=result)
    return Report(result, changes, f"{name}: {before.state} → {after.state}")


def found(candidates: list[ServiceManager], name: str) -> tuple[ServiceManager, State]:
    """The first manager that knows the service, with the state it has there."""
    for manager in candidates:
        state = manager.state(name)
        if state is not None:
            return manager, state
    if not candidates:
        raise ToolError("tool.unsupported", "No service manager runs here that could be asked.")
    asked = ", ".join(manager.name for manager in candidates)
    raise ToolError("tool.not_found", f"There is no service {name} (asked: {asked}).")


def _result(name: str, manager: ServiceManager, state: State) -> Row:
    return {"name": name, "state": state.state, "enabled": state.enabled, "manager": manager.name}


def _changes(name: str, action: str, before: State, after: State) -> list[Row]:
    """What is different now. A restart is a change although the state is the same before and after."""
    changes = []
    if before.state != after.state or action == "restart":
        changes.append(change(f"service {name}", before.state, after.state))
    if action in _ENABLING and before.enabled != after.enabled:
        changes.append(change(f"service {name} at start of the system", _word(before.enabled), _word(after.enabled)))
    return changes


def _word(enabled: bool | None) -> str:
    return "unknown" if enabled is None else "enabled" if enabled else "disabled"
