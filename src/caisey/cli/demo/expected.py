"""What RECOVERY.md says of each stall: the only source of the demonstration's expectations.

Owns the table. What is found is read from the API and compared with it, field by field. Pure data.
"""

from __future__ import annotations

from typing import NamedTuple


class Expectation(NamedTuple):
    """One row.

    `section`: of RECOVERY.md. `found`: the verdict's kind, else the notice, else the state, at the moment when the
    stall is known. `ran`: the answer to "did it run?" then. `within_s`: the window that has to pass first. `after`,
    `after_ran`: how the request stands in the end. `recovery`: who did what, in order. `tries` and `consents`: of all
    its steps. `starts`: how often commands that may change things really began, counted on disk; None where the scene
    has none. `also`: what else has to be so.
    """

    name: str
    title: str
    section: str
    computer: str
    found: str
    ran: str
    within_s: float
    after: str
    after_ran: str
    recovery: tuple[str, ...]
    tries: int
    consents: int
    starts: int | None = None
    also: tuple[str, ...] = ()


LOADED_S = 15.0
"""What a busy machine may take on top of a window before a row counts as too late."""

EXPECTATIONS: tuple[Expectation, ...] = (
    Expectation(
        "empty-read", "It reads, succeeds, and prints nothing: an answer, never sent again by itself", "2", "DESK-12",
        "empty", "yes", 0, "answered", "yes", ("adjust by a person",), 2, 2,
    ),
    Expectation(
        "malformed-call", "The request does not fit the tool: every fault is named, nothing is sent", "2", "DESK-12",
        "malformed_call", "no", 0, "answered", "yes", ("asked anew by a person",), 1, 1,
        also=("in the ledger of shapes",),
    ),
    Expectation(
        "malformed-result", "It ran, and its answer has the wrong shape: the bytes are kept", "2", "PRACTICE",
        "malformed_result", "yes", 0, "malformed_result", "yes", ("accept_partial by a person",), 1, 1,
        also=("/changes: expected array, found object", "raw bytes kept"),
    ),
    Expectation(
        "orphaned", "Sent, and never confirmed; then the computer's own record is asked", "2", "ACCT-07",
        "orphaned", "unconfirmed", 2, "answered", "yes", ("requeue by policy",), 2, 1, 1, ("first try: no",),
    ),
    Expectation(
        "died-before-start", "The agent has it in its record, and dies before the start", "2", "ACCT-07",
        "runtime_died", "unconfirmed", 2, "answered", "yes", ("same number again",), 1, 1, 1,
    ),
    Expectation(
        "died-during", "Agent and command die in the middle: nobody repeats it by himself", "2", "ACCT-07",
        "runtime_died", "unconfirmed", 0, "answered", "yes", ("verify by a person", "retry by a person"), 2, 2, 2,
    ),
    Expectation(
        "died-and-adopted", "The agent dies; its command lives on, and the next agent adopts it", "5", "ACCT-07",
        "lost", "unconfirmed", 0, "answered", "yes", ("went on",), 1, 1, 1, ("output complete",),
    ),
    Expectation(
        "reboot", "The computer restarts in the middle", "2", "PRINT-01",
        "runtime_died", "unconfirmed", 0, "runtime_died", "unconfirmed", ("accept_partial by a person",), 1, 1, 1,
        ("new boot id",),
    ),
    Expectation(
        "asleep", "The computer goes to sleep: one command waits with it, one waits for it", "4", "PRACTICE",
        "held (asleep)", "no", 0, "answered", "yes", ("went on", "sent by itself"), 1, 1,
        also=("running one: lost (asleep)",),
    ),
    Expectation(
        "command-failed", "The command itself reports an error", "2", "DESK-12",
        "command_failed", "yes", 0, "answered", "yes", ("adjust by a person",), 2, 2,
    ),
    Expectation(
        "timed-out", "It passes its own time limit and is ended, with all it started", "2", "DESK-12",
        "timed_out", "partly", 1, "answered", "yes", ("retry by a person",), 2, 2,
    ),
    Expectation(
        "cancelled", "Somebody stops it while it runs", "2", "DESK-12",
        "cancelled", "partly", 0, "cancelled", "partly", ("cancel by a person",), 1, 1, 1,
    ),
    Expectation(
        "hung-on-input", "It asks a question that nobody sees", "2", "DESK-12",
        "waits_for_input", "unconfirmed", 1.5, "answered", "yes", ("input by a person",), 1, 1, 1,
        ("Delete 3 old jobs? [y/N]",),
    ),
    Expectation(
        "held-and-released", "The agent freezes: new work is kept back, and asked about when it is old", "6", "ACCT-07",
        "held (unhealthy)", "no", 2, "answered", "yes", ("release by a person",), 1, 1, 1,
    ),
    Expectation(
        "control-plane-killed", "Caisey itself is killed in the middle, and started again", "4", "DESK-12",
        "started", "unconfirmed", 0, "answered", "yes", (), 1, 1, 1, ("output complete",),
    ),
    Expectation(
        "journal-set-back", "The computer is restored from a backup: its record proves nothing", "5", "FILE-02",
        "runtime_died", "unconfirmed", 2, "answered", "yes", ("reviewed by a person", "retry by a person"), 2, 2, 2,
        ("journal_regressed", "in attention"),
    ),
    Expectation(
        "spooler", "Stop the spooler, look, start it: another technician sends step 3 alone", "7", "PRINT-01",
        "runtime_died", "unconfirmed", 0, "answered", "yes", ("resume by a person",), 3, 3, 2,
        (
            "step 1: yes, running → stopped", "step 2: unconfirmed", "step 3: no", "will be sent: 3",
            "step 3: stopped → running", "Kim, not Robin",
        ),
    ),
)  # fmt: skip
BY_NAME = {expectation.name: expectation for expectation in EXPECTATIONS}
