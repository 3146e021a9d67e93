"""The example of RECOVERY.md §7, end to end: stop the print spooler, look at its queue, start it again.

Owns the scene. The agent dies after the stop; another technician sees what already ran and sends step 3 alone.
"""

from __future__ import annotations

from caisey.cli.demo import print_service
from caisey.cli.demo.judging import Found
from caisey.cli.demo.scene import Document, Scene, has, shell, stands
from caisey.cli.safe_text import cut


def spooler(s: Scene) -> Found:
    """One technician begins, the agent dies, another one continues."""
    computer = s.computer()
    home = print_service.install(s.stage.household, computer)
    _let_it_run(s)
    s.trace = home / "done"
    s.trace.unlink()
    prompt = s.ask(_service("stop"), shell(f"ls {home}/queue; sleep 60"), _service("start"))
    s.until(prompt, stands("started"), step=2)
    pid = computer.pid
    s.clock()
    computer.lose_power()
    s.does(f"kill -9 {pid} …", "the agent dies at step 2")
    s.does("caisey runtime run", "the agent is started again")
    computer.start()
    s.known(prompt, has("runtime_died"), step=2)
    s.me = "Kim"
    panel = s.api.get(f"/prompts/{prompt}/awareness")
    _show(s, panel)
    s.act(prompt, "resume", step=3, reason="the spooler is stopped; start it")
    found = s.ends(prompt, step=3)
    return found._replace(also=(*_of_panel(panel), *_of_end(s, prompt)))


def _show(s: Scene, panel: Document) -> None:
    """What already ran, before something is sent again: the product's panel, in the width that there is here."""
    s.screen.decides(s.me, "What already ran?")
    for step in panel["steps"]:
        what = cut(s.screen.short(step["literal"].removeprefix("shell ")), 21)
        changed = ", ".join(f"{c['before']} → {c['after']}" for c in step["changes"])
        s.screen.shows([f"{step['position']} {what:<21}  {step['ran_label']:<24}  {changed}"])
    notes = dict.fromkeys(step["changes_note"] for step in panel["steps"] if step["changes_note"])
    sent = [f"Will be sent: step {step['position']}, {step['literal']}" for step in panel["will_send"]]
    s.screen.shows([*notes, *sent])


def _of_panel(panel: Document) -> list[str]:
    told = []
    for step in panel["steps"]:
        changed = "".join(f", {c['before']} → {c['after']}" for c in step["changes"])
        told.append(f"step {step['position']}: {step['ran']}{changed}")
    return [*told, "will be sent: " + ", ".join(str(step["position"]) for step in panel["will_send"])]


def _of_end(s: Scene, prompt: str) -> list[str]:
    """What step 3 changed, and who sent it."""
    last = s.prompt(prompt)["tool_calls"][-1]
    told = [f"step 3: {c['before']} → {c['after']}" for c in last["attempts"][-1]["changes"]]
    queued = [e for e in s.events() if e["type"] == "attempt.queued" and e["payload"]["tool_call_id"] == last["id"]]
    asked = next(e for e in s.events() if e["type"] == "prompt.accepted" and e["payload"]["prompt_id"] == prompt)
    return told + ["Kim, not Robin" for event in queued if event["actor"] != asked["actor"]]


def _let_it_run(s: Scene) -> None:
    prompt = s.send(_service("start"))["id"]
    s.until(prompt, has("answered"), quietly=True)


def _service(action: str) -> Document:
    return {"tool": "service", "arguments": {"name": print_service.NAME, "action": action}, "effect": "mutating"}
