"""The parts between the door and the sessions, put together in the order in which they need each other.

Owns the assembly alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from caisey.control.arrivals import Arrivals
from caisey.control.clock import Times
from caisey.control.connections import Fleet
from caisey.control.directory.store import Directory
from caisey.control.inbound import Inbound
from caisey.control.journals import Journals
from caisey.control.keyring import Keyring
from caisey.control.ledger import Ledger
from caisey.control.liveness import Liveness
from caisey.control.misreadings import Misreadings
from caisey.control.outbound import Outbound
from caisey.control.places import Places
from caisey.control.reception import Reception
from caisey.control.results import Results
from caisey.control.sessions import Sessions
from caisey.control.statements import Statements
from caisey.control.streams import OutputStore, Streams
from caisey.control.submissions import Submissions
from caisey.control.views import Views
from caisey.storage.contract import Log


class Parts(NamedTuple):
    """What the hub is given."""

    log: Log
    output: OutputStore
    directory: Directory
    keyring: Keyring
    times: Times
    random_bytes: Callable[[int], bytes]
    ledger: Ledger


class Traffic(NamedTuple):
    """What turns frames into commands and connections into presence. Made once the sessions are there."""

    liveness: Liveness
    arrivals: Arrivals
    reception: Reception
    inbound: Inbound
    misreadings: Misreadings


def assemble(
    parts: Parts,
    *,
    fleet: Fleet,
    views: Views,
    journals: Journals,
    outbound: Outbound,
    sessions: Sessions,
    supported: Callable[[str], bool],
) -> Traffic:
    """The parts behind the door, in the order in which they need each other."""
    times, directory, log = parts.times, parts.directory, parts.log
    submissions = Submissions(sessions, outbound)
    places = Places(sessions)
    outbound.tell_places(places.learn)
    streams = Streams(sessions, parts.output, submissions, submissions.confirm, times.now_ms)
    liveness = Liveness(
        fleet=fleet,
        views=views,
        journals=journals,
        directory=directory,
        sessions=sessions,
        places=places,
        outbound=outbound,
        log=log,
        times=times,
    )
    misreadings = Misreadings(
        directory=directory,
        places=places,
        streams=streams,
        ledger=parts.ledger,
        log=log,
        submit=submissions,
        times=times,
    )
    results = Results(
        sessions=sessions,
        streams=streams,
        submit=submissions,
        ledger=parts.ledger,
        subject_of=lambda about, spec: misreadings.subject(about.connection, spec.tool, spec.tool_version),
        now_ms=times.now_ms,
    )
    statements = Statements(
        sessions=sessions,
        places=places,
        streams=streams,
        fleet=fleet,
        journals=journals,
        directory=directory,
        log=log,
        submit=submissions,
        tell=liveness.tell,
        now_ms=times.now_ms,
    )
    arrivals = Arrivals(
        fleet=fleet,
        views=views,
        journals=journals,
        directory=directory,
        liveness=liveness,
        sessions=sessions,
        places=places,
        statements=statements,
        submissions=submissions,
        outbound=outbound,
        keyring=parts.keyring,
        log=log,
        times=times,
        supported=supported,
    )
    reception = Reception(
        arrivals=arrivals,
        fleet=fleet,
        directory=directory,
        journals=journals,
        keyring=parts.keyring,
        outbound=outbound,
        misreadings=misreadings,
        times=times,
        random_bytes=parts.random_bytes,
    )
    inbound = Inbound(
        submissions=submissions,
        places=places,
        streams=streams,
        results=results,
        statements=statements,
        misreadings=misreadings,
        liveness=liveness,
        journals=journals,
        times=times,
    )
    return Traffic(liveness, arrivals, reception, inbound, misreadings)
