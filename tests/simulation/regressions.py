"""Stories that once broke something: kept whole, so that a change of the generator cannot lose them."""

from __future__ import annotations

from tests.simulation.story import Event, Story

REGRESSIONS: dict[str, Story] = {
    "a shim that dies between claim and go has not started": Story(
        "1", False, "reroute", 0.02, 0.05,
        (
            Event(8.112, "prompt", ("bert", 2, 0, "mutating 6000 0 2 0 0 0")),
            Event(11.657, "crash_at", (1, 7, "after")),
            Event(12.731, "reboot", (0, 6.254)),
            Event(15.665, "prompt", ("anna", 0, 0, "mutating 40 0 1 3 0 0")),
            Event(21.577, "prompt", ("anna", 0, 0, "mutating 20000 5000 3 3 0 0")),
            Event(21.666, "prompt", ("anna", 1, 0, "idempotent 1500 5000 2 3 0 0", "read_only 20000 90000 3 3 0 0")),
            Event(21.883, "partition", (0, "both", 0.536)),
            Event(22.4, "crash_at", (1, 3, "after")),
        ),
    ),
    "after a step back every deadline is looked at": Story(
        "10962", True, "hold", 0.02, 0.001,
        (
            Event(26.227, "prompt", ("anna", 0, 0, "mutating 6000 300 1 3 0 0", "mutating 20000 5000 2 0 0 0")),
            Event(30.635, "reboot", (0, 11.553)),
            Event(34.511, "clock_step", (-3_600_000,)),
        ),
    ),
    "a clock that goes back while the control plane is away stops nothing": Story(
        "302", False, "hold", 0.001, 0.001,
        (
            Event(0.5, "prompt", ("bert", 1, 0, "mutating 300 0 2 0 0 0 time=200")),
            Event(2.697, "plane_dies", (7, "before")),
            Event(5.049, "prompt", ("anna", 0, 1, "read_only 6000 5000 2 0 0 0")),
            Event(6.273, "clock_step", (-3_600_000,)),
            Event(6.488, "act_twice", (33, 95)),
        ),
        ("both", "websocket", "both"),
    ),
    "nor does one that goes back before the first look of a new control plane": Story(
        "1836", False, "hold", 0.001, 0.001,
        (
            Event(6.032, "wild", (0, 15.802, 0.0, 0.3, 0.3, 0.0)),
            Event(6.051, "prompt", ("bert", 1, 0, "mutating 1500 5000 3 0 0 0 unknown")),
            Event(6.368, "reboot", (0, 9.679)),
            Event(12.874, "plane_dies", (1, "after")),
            Event(12.874, "prompt", ("anna", 1, 0, "mutating 20000 10 4 3 0 0")),
            Event(13.528, "clock_step", (-3_600_000,)),
        ),
        ("websocket", "both", "websocket"),
    ),
    "two ends of one step, by a runtime that lies, are nobody's fault": Story(
        "1760", True, "reroute", 0.001, 0.05,
        (
            Event(1.453, "lie", (0, "states finished", "dispatched", 25, 1)),
            Event(
                10.677, "prompt",
                (
                    "bert", 1, 0, "mutating 20000 5000 4 3 0 0 bytes=64", "mutating 1500 90000 4 0 0 1",
                    "mutating 40 90000 3 0 0 0",
                ),
            ),
        ),
    ),
    "a try that was given up for lost hears of the stop when it is back": Story(
        "d220", True, "hold", 0.15, 0.001,
        (
            Event(
                3.446, "prompt",
                ("bert", 0, 0, "mutating 300 5000 4 3 0 0", "mutating 20000 10 3 3 0 0", "mutating 300 0 2 0 0 0"),
            ),
            Event(
                13.405, "prompt",
                ("anna", 0, 0, "read_only 5 5000 1 0 1 0", "mutating 300 5000 4 3 1 0", "mutating 40 300 4 0 0 0"),
            ),
            Event(16.398, "prompt", ("anna", 2, 0, "mutating 1500 5000 3 3 1 0")),
            Event(21.343, "partition", (2, "down", 7.601)),
            Event(22.35, "act", ("anna", 62, 76)),
        ),
    ),
    "the other runtime of a computer is asked when the one that was asked first is silent": Story(
        "1277", True, "reroute", 0.15, 0.004,
        (
            Event(13.872, "crash_at", (0, 3, "after")),
            Event(16.209, "cut", (1,)),
            Event(20.894, "prompt", ("bert", 0, 0, "mutating 300 300 2 0 0 0 time=200")),
            Event(20.904, "wild", (0, 8.505, 0.0, 0.3, 0.3, 0.0)),
            Event(21.102, "plane_dies", (3, "after")),
            Event(25.321, "act_twice", (8, 35)),
            Event(25.958, "partition", (0, "both", 7.115)),
        ),
        ("websocket", "websocket", "longpoll"),
    ),
    "a question that never left is asked again": Story(
        "526", True, "reroute", 0.001, 0.004,
        (
            Event(0.5, "prompt", ("bert", 2, 0, "mutating 5 90000 3 3 0 0 bytes=1000", "mutating 6000 90000 1 0 0 0")),
            Event(8.067, "prompt", ("anna", 0, 1, "idempotent 1500 5000 3 3 1 0")),
            Event(17.056, "plane_disk", (1, "after")),
            Event(18.844, "act", ("bert", 13, 94)),
        ),
        ("websocket", "longpoll", "websocket"),
    ),
    "a held call goes though the log failed just as its agent took work again": Story(
        "told", False, "hold", 0.02, 0.004,
        (
            Event(2.0, "disk_full", (2, 6.0)),
            Event(2.5, "prompt", ("anna", 2, 0, "read_only 40 10 1 0 0 0")),
            Event(9.5, "plane_disk", (400, "before")),
        ),
    ),
    "what was adjusted and asked anew is no open stall any more": Story(
        "2", True, "hold", 0.02, 0.05,
        (
            Event(0.5, "prompt", ("anna", 0, 1, "read_only 300 90000 2 3 0 0")),
            Event(10.423, "act", ("anna", 20, 11)),
        ),
        ("longpoll", "websocket", "both"),
    ),
    "a deadline that a clock brought nearer stands in the log": Story(
        "1698", True, "hold", 0.001, 0.001,
        (
            Event(
                0.5, "prompt",
                (
                    "bert", 2, 0, "read_only 300 90000 2 0 0 0 unknown", "mutating 20000 5000 2 0 0 0 bytes=64",
                    "read_only 40 5000 2 0 0 0",
                ),
            ),
            Event(12.537, "plane_crash", (6.0,)),
            Event(19.033, "clock_step", (-3600000,)),
        ),
        ("both", "both", "both"),
    ),
}  # fmt: skip
