"""English: what is said of an attempt on its way, of a tool call that waits, and of one that was closed."""

from __future__ import annotations

from caisey.core.catalogue.form import Entry, Tone

_BEFORE: dict[str, Entry] = {
    "pending": Entry(Tone.WAIT, "Waits for step {n}", "It is sent when step {n} has ended.", ("drop",)),
    "pending.stopped": Entry(
        Tone.PLAIN,
        "Not sent",
        "Step {n} stopped before it. It is sent only if you continue. Nothing ran.",
        ("resume", "drop"),
    ),
    "queued": Entry(Tone.PLAIN, "Being sent", "It goes out next.", ("drop",)),
    "queued.check": Entry(
        Tone.WAIT, "Checking that the computer answers", "It is sent when the agent has answered.", ("drop",)
    ),
    "held.unhealthy": Entry(
        Tone.WAIT,
        "Waits: {computer} does not answer",
        "Last contact {age}. It is sent when the computer answers, at the latest {end}.",
        ("sendnow", "other", "longer", "drop", "help"),
    ),
    "held.asleep": Entry(
        Tone.WAIT,
        "Waits: {computer} is asleep",
        "It went to sleep at {time}. It is sent after it wakes, at the latest {end}; then you are asked.",
        ("drop", "help"),
    ),
    "held.offline": Entry(
        Tone.WAIT,
        "Waits: {computer} is offline",
        "Offline since {time}. Kept until {end}, then you are asked.",
        ("longer", "drop"),
    ),
    "held.world_changed": Entry(
        Tone.ASK,
        "Ready to send. Still wanted?",
        "It waited {age}. Since then: {changes}. It may change things, so we ask first.",
        ("sendnow", "edit", "drop"),
    ),
    "held.journal_must_answer": Entry(
        Tone.WAIT,
        "Waits for the computer's record",
        "It may already have run. We do not send it until the computer tells us.",
        ("help", "giveup"),
    ),
    "held.draining": Entry(
        Tone.WAIT,
        "Waits: the agent takes no new work",
        "It is stopping or starting again. It is sent when the agent is back, at the latest {end}.",
        ("other", "longer", "drop"),
    ),
    "held.journal_full": Entry(
        Tone.WAIT,
        "Waits: the disk of {computer} is full",
        "The agent cannot write its record. It is sent when it can, at the latest {end}.",
        ("longer", "drop", "help"),
    ),
    "held.busy": Entry(
        Tone.WAIT,
        "Waits: the agent is busy",
        "It has too many requests open. It is sent when one of them ends, at the latest {end}.",
        ("drop", "help"),
    ),
    "held.earlier_request": Entry(
        Tone.WAIT,
        "Waits for an earlier request",
        "That one may still change things. It is sent when that one has ended, at the latest {end}.",
        ("drop", "help"),
    ),
    "held.person": Entry(
        Tone.WAIT,
        "Kept back until {end}",
        "A technician keeps it back. At {end} you are asked.",
        ("sendnow", "longer", "edit", "drop"),
    ),
    "awaiting_approval": Entry(
        Tone.ASK,
        "Waits for {who}",
        "{who} was asked at {time}. Ends {end}. Nothing runs before the answer.",
        ("approve", "deny", "narrow", "drop"),
    ),
}

_ON_THE_WAY: dict[str, Entry] = {
    "dispatched.fresh": Entry(Tone.PLAIN, "Sent", "It was sent just now.", ("recall",)),
    "dispatched": Entry(
        Tone.WAIT,
        "Sent, no confirmation yet",
        "{age}. At {ask} we ask the computer what it knows.",
        ("recall",),
    ),
    "dispatched.asked": Entry(
        Tone.WAIT, "Asking the computer", "We ask if it received the request. Known at {due} at the latest."
    ),
    "dispatched.stopping": Entry(
        Tone.WAIT, "Taking it back", "We asked the computer not to run it. It may already have started."
    ),
    "acknowledged": Entry(
        Tone.WAIT,
        "Received, not started yet",
        "The computer has it in its record. The command has not started.",
        ("stop",),
    ),
    "acknowledged.stopping": Entry(
        Tone.WAIT, "Taking it back", "We asked the computer not to run it. It may already have started."
    ),
    "started": Entry(
        Tone.RUN, "Running", "{age}. Last output {age2} ago. You can close this page; it goes on.", ("stop",)
    ),
    "started.asks": Entry(
        Tone.ASK,
        "It asks a question",
        "The command waits for an answer. Last line: {last_line}",
        ("input", "stay", "stop"),
    ),
    "started.silent": Entry(
        Tone.ASK,
        "Silent for {age}",
        "No output and no CPU use. It may wait for an answer. It is still running.",
        ("input", "stay", "stop"),
    ),
    "started.busy": Entry(
        Tone.RUN,
        "Running, no output",
        "It uses the CPU ({cpu}). No output for {age}. This is normal for long work.",
        ("stop",),
    ),
    "started.stopping": Entry(
        Tone.WAIT, "Stopping", "Stop was sent {age} ago. We wait for the computer to confirm the end."
    ),
    "started.back": Entry(
        Tone.RUN,
        "Running. Contact is back",
        "Contact was lost for {age}. The command went on. No output is missing.",
        ("stop",),
    ),
    "started.back_with_gap": Entry(
        Tone.RUN,
        "Running. Contact is back",
        "Contact was lost for {age}. {bytes} of output are missing and marked.",
        ("stop",),
    ),
    "started.reopened": Entry(
        Tone.RUN,
        "Running after all",
        'We showed "{old_label}". The computer now says that it runs. Both stay in the record.',
        ("stop",),
    ),
    "acknowledged.reopened": Entry(
        Tone.WAIT,
        "Received after all",
        'We showed "{old_label}". The computer now says that it has the request, not started.',
        ("stop",),
    ),
    "lost": Entry(
        Tone.WAIT,
        "No contact with {computer}",
        "Lost {age} ago while it ran. It may go on there. At {end} we tell you what is known.",
        ("help",),
    ),
    "lost.received": Entry(
        Tone.WAIT,
        "No contact with {computer}",
        "Lost {age} ago before it started. It may start there. At {end} we tell you what is known.",
        ("help",),
    ),
    "lost.asleep": Entry(
        Tone.WAIT,
        "{computer} went to sleep",
        "It went to sleep at {time}. The command goes on when it wakes. We judge at {end}.",
        ("help",),
    ),
    "lost.restarted": Entry(
        Tone.WAIT, "Caisey was restarted", "Nothing is lost. Agents connect again; we judge after {end}."
    ),
}

_STANDING: dict[str, Entry] = {
    "waiting.used_up": Entry(
        Tone.ASK,
        "Your decision",
        "We tried {times} by ourselves. Everything is kept; nothing runs until you decide.",
        ("(verdict)",),
    ),
    "waiting.review": Entry(
        Tone.ASK,
        "Your decision",
        "The computer's own record went back in time. Nothing that may change things is sent by itself.",
        ("(verdict)",),
    ),
    "ended.late_same": Entry(
        Tone.PLAIN, "Late report", "{computer} reported at {time}, {age} late. It agrees with what is shown."
    ),
    "ended.late_changed": Entry(
        Tone.ASK,
        "New information",
        'We showed "{old_label}". The computer now says: {new_label}. Both stay in the record.',
        ("(verdict)",),
    ),
    "ended.already_ran": Entry(
        Tone.DONE,
        "Already done earlier",
        "The computer ran this at {time}. This is that result; it did not run again.",
    ),
    "closed.accepted_partial": Entry(
        Tone.PLAIN,
        "Closed with what we have",
        "{who} kept what was there at {time}. {what_ran}",
        ("edit", "(again)"),
    ),
    "closed.dropped": Entry(
        Tone.PLAIN, "Closed without an answer", "{who} closed it at {time}. {what_ran}", ("edit", "(again)")
    ),
    "closed.resumed_past": Entry(
        Tone.PLAIN, "Left behind", "{who} continued after it at {time}. {what_ran}", ("edit", "(again)")
    ),
    "closed.replaced": Entry(Tone.PLAIN, "Edited", "{who} sent an edited one at {time}. {what_ran}"),
    "closed.kept": Entry(Tone.PLAIN, "Kept open", "The session was closed. {what_ran}"),
    "page.behind": Entry(
        Tone.WAIT,
        "This page is behind",
        "Last update {age} ago. Connecting again; nothing is lost. Work on the computer goes on.",
    ),
}

STATES: dict[str, Entry] = _BEFORE | _ON_THE_WAY | _STANDING
