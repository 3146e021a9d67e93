"""What happens to the world, as a list: made from a seed, replayed to the letter, shortened when something breaks.

Owns the kinds of happenings and how often each comes. An event carries everything that it needs; taking others out of
the list leaves it as it is, so that a story can be shortened.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.simulation.lies import LIES

SPAN_S = 26.0
SENT = ("dispatched", "acknowledged", "started", "lost", "ended")
RARE = (
    *((lie, state) for lie in ("gap", "other bytes") for state in ("dispatched", "acknowledged", "lost")),
    *(("refused", state) for state in ("started", "lost", "ended")),
    ("input accepted", "ended"),
    ("input accepted", "lost"),
)
LIARS = 0.3
"""In so many stories runtimes lie: much less can be asked of those."""
COMPANY = 0.6
"""How many prompts have something go wrong right beside them."""
BRIDGES = ("websocket", "websocket", "both", "both", "longpoll")
EFFECTS = ("mutating", "mutating", "mutating", "idempotent", "read_only")


class Event(NamedTuple):
    """Something happens `at` seconds into the story."""

    at: float
    kind: str
    args: tuple[object, ...] = ()

    def __str__(self) -> str:
        return f"{self.at:7.3f} s  {self.kind} {' '.join(map(str, self.args))}".rstrip()


class Story(NamedTuple):
    """A world and what happens to it.

    `shared`: the second runtime of the first computer shares its journal. `bridges`: what each runtime may use.
    """

    seed: str
    shared: bool
    when_unhealthy: str
    latency_s: float
    commit_s: float
    events: tuple[Event, ...]
    bridges: tuple[str, ...] = ("websocket", "websocket", "websocket")


def step(dice: random.Random) -> str:
    """One step of a prompt: its effect and its plan; some have a limit, some a tool that no runtime has."""
    effect = dice.choice(EFFECTS)
    take = dice.choice([5, 40, 300, 1_500, 6_000, 20_000])
    size = dice.choice([0, 10, 300, 5_000, 5_000, 90_000])
    asks, forever = int(dice.random() < 0.15), int(dice.random() < 0.05)
    plan = f"{effect} {take} {size} {dice.randrange(1, 5)} {dice.choice([0, 0, 0, 0, 3])} {asks} {forever}"
    if dice.random() < 0.2:
        plan += f" time={dice.choice([200, 2_000])}" if dice.random() < 0.5 else f" bytes={dice.choice([64, 1_000])}"
    return plan + (" unknown" if dice.random() < 0.04 else "")


def _prompt(d: random.Random) -> tuple[object, ...]:
    steps = tuple(step(d) for _ in range(d.choice([1, 1, 1, 2, 3])))
    return d.choice(["anna", "bert"]), d.randrange(3), int(d.random() < 0.2), *steps


def _node(d: random.Random) -> int:
    return d.choice([0, 0, 0, 1, 2])


def _machine(d: random.Random) -> int:
    return d.choice([0, 0, 1])


def _span(d: random.Random) -> float:
    return round(d.choice([0.3, 1.0, 3.0, 6.0, 12.0]) * (0.5 + d.random()), 3)


def _lie(d: random.Random) -> tuple[object, ...]:
    what, state = d.choice(RARE) if d.random() < 0.5 else (d.choice(list(LIES)), d.choice(SENT))
    return _node(d), what, state, d.randrange(100), d.choice([-1, 0, 0, 1, 1, 100])


KINDS: dict[str, tuple[float, Callable[[random.Random], tuple[object, ...]]]] = {
    "prompt": (9.0, _prompt),
    "act": (10.0, lambda d: (d.choice(["anna", "bert"]), d.randrange(100), d.randrange(100))),
    "act_twice": (1.5, lambda d: (d.randrange(100), d.randrange(100))),
    "hand_over": (0.6, lambda d: (d.randrange(3), d.choice(["anna", "bert"]))),
    # the network
    "partition": (2.5, lambda d: (_node(d), d.choice(["up", "down", "both", "both"]), _span(d))),
    "wild": (
        1.6,
        lambda d: (
            _node(d),
            _span(d),
            d.choice([0.0, 0.1, 0.4]),
            d.choice([0.0, 0.1, 0.3]),
            d.choice([0.0, 0.1, 0.3]),
            d.choice([0.0, 0.0, 0.05]),
        ),
    ),
    "slow": (0.8, lambda d: (_node(d), _span(d), d.choice([0.1, 0.6, 2.5]))),
    "cut": (1.6, lambda d: (_node(d),)),
    "no_websockets": (0.9, lambda d: (_node(d), _span(d))),
    # runtimes and their computers
    "crash_at": (3.5, lambda d: (_node(d), d.randrange(1, 8), d.choice(["before", "after"]))),
    "crash": (1.6, lambda d: (_node(d), d.choice([0.2, 1.0, 5.0]))),
    "leave": (0.8, lambda d: (_node(d), d.choice(["shutdown", "update", "drain", "sleep"]))),
    "hang": (0.8, lambda d: (_node(d), _span(d))),
    "reboot": (1.2, lambda d: (_machine(d), _span(d))),
    "sleep": (0.9, lambda d: (_machine(d), _span(d) * 2)),
    "picture": (1.1, lambda d: (_machine(d),)),
    "set_back": (0.8, lambda d: (_machine(d),)),
    "clone": (0.25, lambda d: (_span(d),)),
    "disk_full": (1.0, lambda d: (_node(d), _span(d))),
    "no_forks": (0.4, lambda d: (_machine(d), _span(d))),
    "kill_shim": (0.8, lambda d: (_machine(d), d.randrange(10))),
    "kill_job": (0.9, lambda d: (_machine(d), d.randrange(10))),
    "lie": (8.0, _lie),
    "skew": (0.3, lambda d: (_machine(d), d.choice([-7_200_000, 3_000, 600_000]))),
    # the control plane
    "plane_dies": (2.2, lambda d: (d.randrange(1, 10), d.choice(["before", "after"]))),
    "plane_crash": (0.8, lambda d: (d.choice([0.2, 1.0, 6.0]),)),
    "plane_hangs": (0.6, lambda d: (_span(d),)),
    "plane_disk": (0.8, lambda d: (d.randrange(1, 4), d.choice(["before", "after"]))),
    "plane_slow_disk": (0.6, lambda d: (_span(d), d.choice([0.05, 0.4, 1.5]))),
    "clock_step": (1.2, lambda d: (d.choice([-3_600_000, -5_000, 1_500, 20_000, 7_200_000]),)),
    "backup": (0.5, lambda d: ()),
    "restore": (0.25, lambda d: ()),
    # people who look after it
    "review": (0.7, lambda d: (_machine(d),)),
    "accept": (0.3, lambda d: (_node(d),)),
}


def companion(dice: random.Random, at: float, second: bool, liars: bool) -> Event:
    """What goes wrong just when a prompt is on its way: most windows are a few milliseconds wide."""
    node, machine = (2, 1) if second else (dice.randrange(2), 0)
    at = round(at + dice.choice([-0.01, 0.0, 0.001, 0.01, 0.03, 0.05, 0.1, 0.4]), 3)
    choice = dice.randrange(9 if liars else 8)
    if choice <= 2:
        return Event(at, "crash_at", (node, dice.randrange(1, 6), dice.choice(["before", "after"])))
    if choice == 3:
        return Event(at, "plane_dies", (dice.randrange(1, 6), dice.choice(["before", "after"])))
    if choice == 4:
        return Event(at, "partition", (node, dice.choice(["up", "down", "both"]), _span(dice)))
    if choice == 5:
        return Event(at - 0.02, "wild", (node, _span(dice), dice.choice([0.0, 0.2]), 0.3, 0.3, 0.0))
    if choice == 6:
        return Event(at, dice.choice(["kill_shim", "kill_job"]), (machine, dice.randrange(10)))
    if choice == 8:
        return Event(at, "lie", KINDS["lie"][1](dice))
    return Event(at, "reboot", (machine, _span(dice)))


def _weight(name: str, liars: bool) -> float:
    """How often. What is lost while its connection stands is rare, and a liar's best moment."""
    usual = KINDS[name][0]
    if not liars:
        return 0.0 if name == "lie" else usual
    return usual * 4 if name in ("hang", "sleep") else usual


def story(seed: int | str) -> Story:
    """The story of a seed."""
    dice = random.Random(f"story {seed}")
    names = list(KINDS)
    liars = dice.random() < LIARS
    weights = [_weight(name, liars) for name in names]
    if dice.random() < 0.25:  # some stories have few kinds of faults, so that one of them is not hidden by the others
        chosen = set(dice.sample(names, 6)) | {"prompt", "act"}
        weights = [w if name in chosen else 0.0 for name, w in zip(names, weights, strict=True)]
    events = [Event(0.5, "prompt", _prompt(dice))]
    if liars:  # these wait for their moment
        events += [Event(0.6, "lie", (_node(dice), *dice.choice(RARE), dice.randrange(100), 1)) for _ in range(3)]
    for _ in range(dice.randrange(6, 30)):
        kind = dice.choices(names, weights)[0]
        at = round(dice.uniform(0.5, SPAN_S), 3)
        args = KINDS[kind][1](dice)
        events.append(Event(at, kind, args))
        if kind == "prompt" and dice.random() < COMPANY:
            events.append(companion(dice, at, int(str(args[1])) == 2, liars))
    return Story(
        seed=str(seed),
        shared=dice.random() < 0.6,
        when_unhealthy=dice.choice(["hold", "hold", "reroute", "escalate"]),
        latency_s=dice.choice([0.001, 0.02, 0.15]),
        commit_s=dice.choice([0.001, 0.004, 0.05]),
        events=tuple(sorted(events)),
        bridges=tuple(dice.choice(BRIDGES) for _ in range(3)),
    )
