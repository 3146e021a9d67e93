"""Everything that the demonstration starts, and one directory that holds all of it.

Owns the processes, how they are killed, frozen and ended, and that nothing is left: neither a process nor a file, also
when the demonstration fails or is ended by Ctrl-C. It knows nothing of the product but where a runtime keeps its spool.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from caisey.cli import machine
from caisey.cli.faults import CliFault

ENDED_WITHIN_S = 20.0
LOOK_EVERY_S = 0.03
_KEPT_FROM_ENVIRONMENT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV")
_SWEEPS = 100


class Process:
    """One program of ours in a session of its own. It is killed when the demonstration ends, however that ends."""

    def __init__(
        self, name: str, words: Sequence[str], log: Path, *, home: Path, prefix: Sequence[str], extra: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._process = subprocess.Popen(  # noqa: S603  # words of our own
                [*prefix, *machine.with_parent(list(words), signal.SIGKILL)],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                env={**environment(), **extra},
                cwd=home,
            )
        finally:
            os.close(descriptor)

    @property
    def pid(self) -> int:
        """Its number; that of the program, since whatever stands before it becomes it."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """kill -9: no goodbye. Also of one that is frozen."""
        self._process.kill()
        self._process.wait(ENDED_WITHIN_S)

    def send(self, number: signal.Signals) -> None:
        """Freeze it (SIGSTOP), or let it go on (SIGCONT)."""
        self._process.send_signal(number)

    def ended(self) -> CliFault:
        """What there is to say of one that ended by itself."""
        with contextlib.suppress(OSError):
            lines = "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-5:])
            return CliFault(
                f"The {self.name} ended by itself with exit code {self._process.poll()}",
                hint=f"Its log ends with:\n{lines}",
                code="demo.process_ended",
            )
        return CliFault(f"The {self.name} ended by itself", code="demo.process_ended")


class Household:
    """The directory and the processes. Use it in `with`: nothing of it is left afterwards."""

    def __init__(self) -> None:
        # By its real path: processes are found by their working directory.
        self.path = Path(tempfile.mkdtemp(prefix="caisey-demo-")).resolve()
        self._processes: list[Process] = []
        self._groups: set[str] = set()

    def __enter__(self) -> Household:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with _undisturbed():
            self.close()

    def start(
        self,
        name: str,
        words: Sequence[str],
        log: str,
        *,
        home: Path | None = None,
        prefix: Sequence[str] = (),
        extra: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a program; its output goes to `log` in the directory.

        `home`: where it works, so that it is found with all it starts. `extra`: more of its environment.
        """
        home = home if home is not None and home.is_dir() else self.path
        process = Process(name, words, self.path / log, home=home, prefix=prefix, extra=extra or {})
        self._processes.append(process)
        return process

    def run(self, words: Sequence[str], *, stdin: str = "", within_s: float = 60.0) -> str:
        """Run a program of ours to its good end; its stdout. A secret goes in by stdin."""
        try:
            done = subprocess.run(  # noqa: S603  # words of our own
                machine.with_parent(list(words), signal.SIGKILL),
                input=stdin,
                capture_output=True,
                text=True,
                timeout=within_s,
                check=False,
                env=environment(),
                cwd=self.path,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired as error:
            raise CliFault(f"{' '.join(words)} took longer than {within_s:.0f} s", code="demo.too_slow") from error
        if done.returncode != 0:
            raise CliFault(
                f"{' '.join(words)} ended with exit code {done.returncode}", hint=done.stderr, code="demo.step_failed"
            )
        return done.stdout

    def close(self) -> None:
        """End every process, also what commands left behind, and take the directory away."""
        for process in reversed(self._processes):
            process.kill()
        self.sweep(self.path)
        _remove_groups(self._groups)
        shutil.rmtree(self.path, ignore_errors=True)

    def sweep(self, directory: Path) -> None:
        """End every process that works below this directory of ours, with all that it started."""
        for _ in range(_SWEEPS):
            left = list(living_below(directory))
            if not left:
                return
            for pid in left:
                self._groups.update(_groups_of(pid))
                end_tree(pid)
            time.sleep(LOOK_EVERY_S)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not interrupt the cleaning."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def environment() -> dict[str, str]:
    """What our programs get: nothing that would set one of them up differently."""
    kept = {name: os.environ[name] for name in _KEPT_FROM_ENVIRONMENT if name in os.environ}
    return {**kept, "HOME": os.environ.get("HOME", "/"), "PYTHONUNBUFFERED": "1"}


# -- processes that are not our children ------------------------------------------------------------------------------


def living_below(directory: Path) -> Iterator[int]:
    """Every live process that works in the directory: runtimes, the shims of their commands, daemons of ours."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink().is_relative_to(directory):
                    yield int(entry.name)


def is_over(pid: int) -> bool:
    """Whether it has ended: gone, or a zombie, which has closed everything it had."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def children(pid: int) -> list[int]:
    """The children of a process; none where it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def end_tree(pid: int) -> None:
    """kill -9 of a process and all below it, as a loss of power does: nobody gets to write anything down."""
    _signal(pid, signal.SIGSTOP)
    for child in children(pid):
        end_tree(child)
    _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _groups_of(pid: int) -> Iterator[str]:
    """The kernel's group that a shim made for its command. One that ends takes it away; a killed one cannot."""
    from caisey.runtime.shim.zygote import CGROUP_PREFIX

    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            name = line.rpartition("/")[2]
            if line.startswith("0::") and name.startswith(CGROUP_PREFIX):
                yield name


def _remove_groups(names: Iterable[str]) -> None:
    from caisey.runtime.platforms.linux import own_cgroup, remove_cgroup

    group = own_cgroup()
    if group is not None:
        for name in names:
            remove_cgroup(f"{group}/{name}")
