"""English: what is said of an attempt that has ended, by kind, ran and what the evidence shows.

`{ran_sentence}` is the sentence that says whether it ran, where a verdict shows the whole tool call's `ran`.
"""

from __future__ import annotations

from caisey.core.catalogue.form import Entry, Tone

_AGAIN = ("again_safe", "wait", "help")
_SAFE_AGAIN = ("again_read", "wait", "help")
_CAREFULLY = ("check", "resume", "again_risk", "help")
_NOT_BACK = ("wait", "help", "giveup")

_DONE: dict[str, Entry] = {
    "answered": Entry(Tone.DONE, "Done", "It ran and gave a result."),
    "answered.recovered": Entry(Tone.DONE, "Done", "It ran and gave a result. Sent {times}; {first}."),
    "empty.reads": Entry(
        Tone.PLAIN, "Done, no output", "It ran without an error (exit code 0) and printed nothing.", ("edit",)
    ),
    "empty.changes": Entry(
        Tone.DONE,
        "Done, no output",
        "It ran without an error (exit code 0). Many commands print nothing when they succeed.",
        ("result", "edit"),
    ),
    "empty.recovered": Entry(
        Tone.DONE,
        "Done, no output",
        "It ran without an error and printed nothing. Sent {times}; {first}.",
        ("result", "edit"),
    ),
}

_MALFORMED: dict[str, Entry] = {
    "malformed_call.person": Entry(
        Tone.ASK,
        "Not sent: the input does not fit",
        "{field} should be {expected}; it is {found}. Nothing was sent to the computer.",
        ("edit",),
    ),
    "malformed_call.correcting": Entry(
        Tone.WAIT,
        "Assistant is correcting its request",
        "The assistant's request did not fit the tool. Nothing was sent. Correction {round} of 2.",
        ("edit",),
    ),
    "malformed_call.used_up": Entry(
        Tone.ASK,
        "Not sent: the assistant could not correct it",
        "After 2 corrections the request still does not fit. Nothing was sent.",
        ("edit", "help"),
    ),
    "malformed_result.yes": Entry(
        Tone.ASK,
        "It ran; the answer cannot be read",
        "The command ended (exit code {code}). Its answer is not in the expected form. All bytes are kept.",
        ("look", "result", "partial", "help"),
    ),
    "malformed_result.started": Entry(
        Tone.ASK,
        "The answer cannot be read",
        "The command started. What came next cannot be read, so its end is not known.",
        ("look", "result", "help"),
    ),
    "malformed_result.unconfirmed": Entry(
        Tone.ASK,
        "The agent's message cannot be read",
        "The agent answered, but not in a form we can read. It is not known if the command ran.",
        ("look", "result", "help"),
    ),
}

_ORPHANED: dict[str, Entry] = {
    "orphaned.no.automatic": Entry(
        Tone.WAIT,
        "Did not arrive. Sending again",
        "The computer did not receive it. We send it again by ourselves ({i} of {max}).",
        ("norepeat",),
    ),
    "orphaned.no": Entry(Tone.ASK, "Did not arrive", "The computer did not receive it. Nothing ran.", _AGAIN),
    "orphaned.safe.automatic": Entry(
        Tone.WAIT,
        "No reply. Sending again",
        "The computer did not confirm it. This step is safe to repeat, so we send it again ({i} of {max}).",
        ("norepeat",),
    ),
    "orphaned.safe": Entry(
        Tone.ASK, "No reply", "We tried {times} without a reply. The step is safe to repeat.", _SAFE_AGAIN
    ),
    "orphaned.changes.automatic": Entry(
        Tone.WAIT,
        "No reply. Asking the computer",
        "We send it to an agent that shares the same record. It will not run a second time.",
        ("giveup",),
    ),
    "orphaned.changes.held": Entry(
        Tone.WAIT,
        "No reply. Not sent again",
        "It may have run. We do not repeat it. When the computer is back, its own record tells us.",
        ("help", "giveup"),
    ),
    "orphaned.changes": Entry(
        Tone.ASK,
        "No reply. Not sent again",
        "It may have run. We do not repeat it. When the computer is back, its own record tells us.",
        ("wait", "help", "giveup"),
    ),
    "orphaned.doubtful": Entry(
        Tone.ASK,
        "The computer's record went back in time",
        "It says that nothing arrived, but a record that went back proves nothing. It may have run.",
        ("check", "again_risk", "help", "giveup"),
    ),
}

_DIED: dict[str, Entry] = {
    "runtime_died.no.automatic": Entry(
        Tone.WAIT,
        "Agent stopped. Sending again",
        "The agent stopped before the command started. Nothing ran. We send it again ({i} of {max}).",
        ("norepeat",),
    ),
    "runtime_died.no": Entry(
        Tone.ASK,
        "Agent stopped before it ran",
        "The agent has the request in its record, and did not start it. Nothing ran.",
        _AGAIN,
    ),
    "runtime_died.reads.automatic": Entry(
        Tone.WAIT,
        "Stopped in the middle. Running again",
        "The step only reads, so we run it again ({i} of {max}). The first output is kept.",
        ("norepeat",),
    ),
    "runtime_died.repeats.automatic": Entry(
        Tone.WAIT,
        "Stopped in the middle. Running again",
        "The step is safe to repeat, so we run it again ({i} of {max}). The first output is kept.",
        ("norepeat",),
    ),
    "runtime_died.reads.not_back.automatic": Entry(
        Tone.WAIT,
        "Lost contact. Running again",
        "The step only reads. When the computer answers, we run it again ({i} of {max}).",
        ("norepeat",),
    ),
    "runtime_died.repeats.not_back.automatic": Entry(
        Tone.WAIT,
        "Lost contact. Running again",
        "The step is safe to repeat. When the computer answers, we run it again ({i} of {max}).",
        ("norepeat",),
    ),
    "runtime_died.reads": Entry(
        Tone.ASK,
        "Stopped in the middle",
        "The step only reads. It started and did not finish.",
        ("again_read", "partial", "help"),
    ),
    "runtime_died.repeats": Entry(
        Tone.ASK,
        "Stopped in the middle",
        "The step is safe to repeat. It started; its record shows no end.",
        ("again_read", "partial", "help"),
    ),
    "runtime_died.single": Entry(
        Tone.ASK,
        "Stopped in the middle",
        "The command started, and ended without a report. The computer's record shows no end.",
        ("check", "again_risk", "partial", "help"),
    ),
    "runtime_died.steps": Entry(
        Tone.ASK,
        "Stopped at step {n}",
        "Steps before it are done. Step {n} started; its record shows no end. Later steps were not sent.",
        _CAREFULLY,
    ),
    "runtime_died.first_step": Entry(
        Tone.ASK,
        "Stopped at step {n}",
        "Step {n} started; its record shows no end. Later steps were not sent.",
        _CAREFULLY,
    ),
    "runtime_died.restarted": Entry(
        Tone.ASK,
        "The computer restarted in the middle",
        "The command was running when {computer} restarted at {time}. Its record shows no end.",
        _CAREFULLY,
    ),
    "runtime_died.not_back": Entry(
        Tone.ASK,
        "Lost contact while it ran",
        "The command had started when contact was lost at {time}. It may still be running.",
        _NOT_BACK,
    ),
    "runtime_died.others_answer": Entry(
        Tone.ASK,
        "The agent did not come back",
        "Other computers of {client} answer. The agent may be blocked or removed (antivirus is a common cause).",
        ("fix", "wait", "help"),
    ),
    "runtime_died.received.not_back": Entry(
        Tone.ASK,
        "Lost contact before it answered",
        "The computer has the request. Contact was lost at {time}. It is not known if the command started.",
        _NOT_BACK,
    ),
    "runtime_died.received": Entry(
        Tone.ASK,
        "Not certain if it started",
        "The computer has the request. Its record does not say that the command started.",
        _CAREFULLY,
    ),
    "runtime_died.received.agent_restarted": Entry(
        Tone.ASK,
        "Not certain if it started",
        "The agent stopped at the same moment. Its record cannot prove that the command started.",
        _CAREFULLY,
    ),
    "runtime_died.received.restarted": Entry(
        Tone.ASK,
        "Not certain if it started",
        "{computer} restarted at the same moment. Its record cannot prove that the command started.",
        _CAREFULLY,
    ),
    "runtime_died.doubtful": Entry(
        Tone.ASK,
        "The computer's record went back in time",
        "A record that went back proves nothing. It is not known how far the command came.",
        _CAREFULLY,
    ),
    "runtime_died.shutdown": Entry(
        Tone.ASK,
        "Ended by a shutdown",
        "The computer was shut down at {time} and ended the command. Output until then is kept.",
        ("check", "again_risk", "partial", "help"),
    ),
}

_ENDED: dict[str, Entry] = {
    "command_failed": Entry(
        Tone.ASK,
        "The command reported an error",
        "It ran and ended with exit code {code}: {first_error_line}",
        ("edit", "result", "help"),
    ),
    "command_failed.silent": Entry(
        Tone.ASK,
        "The command reported an error",
        "It ran and ended with exit code {code}. It wrote no error message.",
        ("edit", "result", "help"),
    ),
    "command_failed.plain": Entry(
        Tone.ASK,
        "The command reported an error",
        "It ran and ended with exit code {code}. What it wrote is kept.",
        ("edit", "result", "help"),
    ),
    "command_failed.signal": Entry(
        Tone.ASK,
        "The command was ended by a signal",
        "It ran and was ended by {signal}. Output until then is kept.",
        ("edit", "result", "help"),
    ),
    "timed_out.partly": Entry(
        Tone.ASK,
        "Stopped at its time limit",
        "It ran for {limit} and was stopped, with all it had started. Output until then is kept.",
        ("partial", "check", "limit", "help"),
    ),
    "timed_out.unconfirmed": Entry(
        Tone.ASK,
        "Time limit passed; not all stopped",
        "It ran for {limit}. Some of what it started may still be running. Output until then is kept.",
        ("partial", "check", "limit", "help"),
    ),
    "cancelled.before": Entry(
        Tone.PLAIN, "Stopped before it ran", "{who} stopped it at {time}. {ran_sentence}", ("edit",)
    ),
    "cancelled.partly": Entry(
        Tone.PLAIN,
        "Stopped while it ran",
        "{who} stopped it at {time}. It had started; changes until then stay.",
        ("result", "partial", "edit"),
    ),
    "cancelled.unconfirmed": Entry(
        Tone.ASK,
        "Stop was asked; not all stopped",
        "{who} stopped it at {time}. Some of what it started may still be running.",
        ("result", "partial", "help"),
    ),
}

_NOT_RUN: dict[str, Entry] = {
    "refused.unknown_tool": Entry(
        Tone.ASK,
        "The agent cannot do this",
        "This agent (version {version}) does not have {tool} version {wanted}. {ran_sentence}",
        ("edit", "other", "fix"),
    ),
    "refused.wrong_platform": Entry(
        Tone.ASK,
        "Not for this kind of computer",
        "{tool} does not exist for its operating system. {ran_sentence}",
        ("edit", "help"),
    ),
    "refused.busy": Entry(
        Tone.ASK,
        "The agent is busy",
        "It has too many requests open. {ran_sentence} It is sent when one of them ends.",
        _AGAIN,
    ),
    "refused.busy.automatic": Entry(
        Tone.WAIT,
        "The agent is busy",
        "It has too many requests open. {ran_sentence} It is sent when one of them ends.",
        ("drop",),
    ),
    "refused.revoked": Entry(
        Tone.ASK,
        "This agent was removed from service",
        "It was revoked. {ran_sentence}",
        ("other", "fix", "help"),
    ),
    "refused.superseded": Entry(
        Tone.PLAIN,
        "Already taken up",
        "An earlier try of this request ran or runs. This one was not needed and did not run.",
    ),
    "refused.overtaken": Entry(
        Tone.PLAIN, "Did not arrive in time", "It was sent again, and that try was taken up. This one did not run."
    ),
    "refused.withdrawn": Entry(Tone.PLAIN, "Taken back before it started", "We took this try back. It did not run."),
    "refused.changed": Entry(
        Tone.ASK,
        "The agent has another request by this id",
        "What it has does not fit what was sent, so it ran neither. {ran_sentence}",
        ("edit", "help"),
    ),
    "refused.too_old": Entry(
        Tone.ASK,
        "Waited too long on the computer",
        "It was not started in the time it had. {ran_sentence}",
        ("again_safe", "edit", "help"),
    ),
    "refused.journal_full": Entry(
        Tone.ASK,
        "The computer's disk is full",
        "The agent cannot write its record, so it takes no work. {ran_sentence}",
        ("wait", "help", "edit"),
    ),
    "refused.other": Entry(
        Tone.ASK, "The agent did not take it", "Its reason: {refusal}. {ran_sentence}", ("again_safe", "edit", "help")
    ),
    "denied.person": Entry(
        Tone.ASK, "Not allowed", "{who} did not allow it: {reason}. {ran_sentence}", ("narrow", "help")
    ),
    "denied.no_reason": Entry(Tone.ASK, "Not allowed", "{who} did not allow it. {ran_sentence}", ("narrow", "help")),
    "denied.rule": Entry(
        Tone.ASK, "Not allowed by a rule", 'Rule "{rule}" of {scope} forbids it. {ran_sentence}', ("narrow", "help")
    ),
    "expired.hold": Entry(
        Tone.ASK,
        "Waited too long; not sent",
        "The computer did not come back before {end}. {ran_sentence}",
        ("again_safe", "longer", "giveup"),
    ),
    "expired.wait": Entry(
        Tone.ASK,
        "Waited too long; not sent",
        "It could not be sent before {end}. {ran_sentence}",
        ("again_safe", "longer", "giveup"),
    ),
    "expired.approval": Entry(
        Tone.ASK,
        "No one answered; not sent",
        "The approval ended at {end} without an answer. {ran_sentence}",
        ("askagain", "narrow", "help"),
    ),
}

VERDICTS: dict[str, Entry] = _DONE | _MALFORMED | _ORPHANED | _DIED | _ENDED | _NOT_RUN
