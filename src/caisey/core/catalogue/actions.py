"""English: the buttons, each with what pressing it does."""

from __future__ import annotations

from caisey.core.catalogue.form import ActionText

ACTIONS: dict[str, ActionText] = {
    "edit": ActionText(
        "adjust", "Edit and send", "Opens the command for editing. Nothing is sent until you press Send."
    ),
    "check": ActionText("verify", "Check first", "Runs a read-only check ({check}). It changes nothing."),
    "again_safe": ActionText("requeue", "Send again", "It did not run, so nothing happens twice."),
    "again_read": ActionText("retry", "Run again", "This step is safe to repeat. Earlier output is kept."),
    "again_risk": ActionText(
        "retry",
        "Run again from the start",
        "Shows first what already ran. What it changed may be changed a second time.",
    ),
    "resume": ActionText("resume", "Continue from step {n}", "Sends {steps}. Earlier steps are not sent again."),
    "partial": ActionText(
        "accept_partial", "Use what we have", "Keeps the partial output and closes this step. Nothing is sent."
    ),
    "partial_next": ActionText(
        "accept_partial", "Use what we have", "Keeps the partial output and closes this step. Then step {n} is sent."
    ),
    "help": ActionText("escalate", "Ask for help", "Tells {who} and links this page. Everything stays as it is."),
    "stop": ActionText("cancel", "Stop it", "Ends the command and all it started. Changes already made stay."),
    "drop": ActionText("cancel", "Do not send it", "Takes it off the waiting list. It will not run."),
    "giveup": ActionText(
        "cancel",
        "Close without an answer",
        "Nothing more is sent. It may still have run; a later report is shown here.",
    ),
    "norepeat": ActionText("cancel", "Do not repeat it", "No further try is sent. What already ran stays."),
    "recall": ActionText("cancel", "Take it back", "Asks the computer not to run it. It may already have started."),
    "result": ActionText("verify", "Check the result", "Runs a read-only check ({check}). It changes nothing."),
    "wait": ActionText("hold", "Wait for the computer", "Kept until {end}. You are told when the computer is back."),
    "sendnow": ActionText("release", "Send now", "Checks that the computer answers, then sends it."),
    "longer": ActionText("hold", "Wait longer", "Moves the end to {new_end}. Nothing is sent now."),
    "other": ActionText(
        "reroute", "Send another way", "Uses {route}. Offered only where the same record prevents a second run."
    ),
    "input": ActionText("input", "Type an answer", "Sends your text to the command, as if typed on the computer."),
    "look": ActionText(None, "See the raw answer", "Opens what the computer sent, exactly. Nothing is sent."),
    "stay": ActionText(None, "Keep waiting", "Nothing is sent or stopped. You are told at the next change."),
    "limit": ActionText(
        "retry",
        "Run again, longer limit",
        "Shows first what already ran. Then it starts from the beginning with {new_limit}.",
    ),
    "fix": ActionText(None, "Repair the agent", "Opens the one command that reinstalls it. Old work is kept."),
    "narrow": ActionText("adjust", "Ask for less", "Opens the request for editing. A new approval is asked."),
    "askagain": ActionText(
        "requeue", "Ask for approval again", "Sends a new approval request. Nothing runs before the answer."
    ),
    "approve": ActionText("approve", "Allow once", "Runs exactly this command on {computer}, one time."),
    "deny": ActionText("deny", "Do not allow", "It will not run. You may say why."),
}
