"""English: short phrases that fill places of other texts, and the four answers to "did it run?"."""

from __future__ import annotations

RAN: dict[str, str] = {
    "no": "Did not run",
    "yes": "Ran",
    "partly": "Started, not finished",
    "partly (runtime_died)": "Started, no end recorded",
    "unconfirmed": "Not known if it ran",
}

PHRASES: dict[str, str] = {
    # the sentence that says whether it ran
    "ran_sentence.no": "Nothing ran.",
    "ran_sentence.yes": "It ran earlier.",
    "ran_sentence.partly": "An earlier try started.",
    "ran_sentence.unconfirmed": "An earlier try may have run.",
    "ran_known_when": "Known when {computer} answers",
    # who
    "who.user": "A technician",
    "who.token": "A technician",
    "who.policy": "The policy",
    "who.model": "The assistant",
    "who.runtime": "The agent",
    "who.control_plane": "Caisey",
    "who.approver": "an approver",
    "who.owner": "the owner of this session",
    "the_computer": "the computer",
    "the_client": "this client",
    # how often, how much
    "times.1": "once",
    "times.2": "twice",
    "times.n": "{n} times",
    "ago": "{span} ago",
    "span.ms": "{n} ms",
    "span.s": "{n} s",
    "span.min": "{n} min",
    "span.h": "{n} h",
    "span.days": "{n} days",
    "step": "step {n}",
    "steps": "steps {first} to {last}",
    "signal": "signal {signal}",
    "cpu": "{span} used",
    "changes.one": "someone else changed something there",
    "changes.many": "others changed {n} things there",
    "changes.age": "over {span} passed",
    "changes.record": "the computer's record went back in time",
    "route.agent": "another agent of this computer",
    "route.connection": "the agent's {bridge} connection",
    "first.no": "the first did not arrive",
    "first.unconfirmed": "the first was not confirmed",
    "first.died": "the first was not ended",
    "first.busy": "the agent was busy at first",
    # beside the texts
    "inside_a_script": "Changes inside a script are not seen.",
    "nothing_recorded": "No change was recorded.",
    "missing": "{size} are missing here: {why}",
    "not_shown": "{size} are left out here",
    "gap.limit": "over the limit",
    "gap.spool_full": "the computer's disk was full",
    "gap.lost": "lost",
    "gap.other": "not sent",
    "nothing_open": "Nothing is open",
}

HOLDS: dict[str, str] = {
    "hold.offline": "the computer is offline",
    "hold.unhealthy": "the computer does not answer",
    "hold.asleep": "the computer is asleep",
    "hold.draining": "the agent takes no new work",
    "hold.journal_full": "the computer's disk is full",
    "hold.busy": "the agent is busy",
    "hold.journal_must_answer": "the computer's own record must answer first",
    "hold.earlier_request": "an earlier request may still change things",
    "hold.world_changed": "things may have changed since it was asked for",
    "hold.person": "a technician keeps it back",
}

UNAVAILABLE: dict[str, str] = {
    "unavailable.healthy": "{computer} does not answer now.",
    "unavailable.unhealthy": "{computer} does not answer now.",
    "unavailable.asleep": "{computer} is asleep.",
    "unavailable.offline": "{computer} is offline since {time}.",
    "unavailable.never_seen": "{computer} has never answered.",
    "unavailable.removing": "{computer} is being removed.",
}
