"""Figures of this process in the Prometheus text format.

Owns what is counted about HTTP, and how all figures are written. A label is a route, a status or a word of ours: never
a name, an id or anything else that a caller or an endpoint chose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Sample(NamedTuple):
    """One figure. `labels` are pairs of words of ours."""

    name: str
    kind: str  # counter, gauge
    help: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


Source = Callable[[], Iterable[Sample]]


class _Durations:
    """A histogram of one route."""

    __slots__ = ("buckets", "count", "total_s")

    def __init__(self) -> None:
        self.buckets = [0] * len(BUCKETS_S)
        self.count = 0
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.total_s += seconds
        for place, bound in enumerate(BUCKETS_S):
            if seconds <= bound:
                self.buckets[place] += 1
                break


class Metrics:
    """See the module. Other parts join with `also`."""

    def __init__(self) -> None:
        self.streams = 0
        self._requests: dict[tuple[str, str, int], int] = {}
        self._durations: dict[tuple[str, str], _Durations] = {}
        self._sources: list[Source] = []

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answered request; `route` is the template of its path."""
        key = (method, route, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        durations = self._durations.get((method, route))
        if durations is None:
            durations = self._durations[method, route] = _Durations()
        durations.add(seconds)

    def also(self, source: Source) -> None:
        """Ask this source too, whenever somebody asks for the figures."""
        self._sources.append(source)

    def text(self) -> bytes:
        """All figures."""
        lines = list(self._http_lines())
        seen: set[str] = set()
        for source in self._sources:
            for sample in source():
                if sample.name not in seen:
                    seen.add(sample.name)
                    lines += _head(sample.name, sample.kind, sample.help)
                lines.append(_line(sample.name, sample.labels, sample.value))
        return ("\n".join(lines) + "\n").encode()

    def _http_lines(self) -> Iterable[str]:
        yield from _head("caisey_http_requests_total", "counter", "Answered requests.")
        for (method, route, status), count in sorted(self._requests.items()):
            yield _line(
                "caisey_http_requests_total", (("method", method), ("route", route), ("status", str(status))), count
            )
        name = "caisey_http_request_duration_seconds"
        yield from _head(name, "histogram", "From the first byte of the request to the head of the answer.")
        for (method, route), durations in sorted(self._durations.items()):
            labels = (("method", method), ("route", route))
            reached = 0
            for bound, count in zip(BUCKETS_S, durations.buckets, strict=True):
                reached += count
                yield _line(f"{name}_bucket", (*labels, ("le", str(bound))), reached)
            yield _line(f"{name}_bucket", (*labels, ("le", "+Inf")), durations.count)
            yield _line(f"{name}_sum", labels, durations.total_s)
            yield _line(f"{name}_count", labels, durations.count)
        yield from _head("caisey_open_streams", "gauge", "Event streams that are open.")
        yield _line("caisey_open_streams", (), self.streams)


def _head(name: str, kind: str, words: str) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]


def _line(name: str, labels: tuple[tuple[str, str], ...], value: float) -> str:
    shown = ",".join(f'{label}="{word}"' for label, word in labels)
    return f"{name}{{{shown}}} {value}" if shown else f"{name} {value}"
