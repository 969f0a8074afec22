"""Named processes of a test: started, killed, stopped, and started again when they die, whenever the test waits."""

import contextlib
import os
import signal
import sqlite3
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from shared import clock, processes
from tests import starting
from tests.conditions import DEADLINE_SECONDS

T = TypeVar("T")

MODULES = {
    "web": "producer.app",
    "worker": "workers.app",
    "batches": "workers.batches",
    "sweeper": "workers.maintenance.sweep",
}


@dataclass
class Process:
    """A named process; `down` when the test wants it so, otherwise it is started again.

    `armed`: the crash point that it, or one that follows it, has yet to die at.
    """

    name: str
    env: dict[str, str]
    popen: starting.Process | None = None
    down: bool = False
    armed: str = ""
    ends: list[int] = field(default_factory=list)


class Processes:
    """All must be started from the main thread: the kernel ties their lives to it."""

    def __init__(self, directory: Path, database_url: str) -> None:
        self.directory = directory
        self.processes: dict[str, Process] = {}
        self._sqlite = database_url.partition("sqlite:///")[2]
        self._main = threading.current_thread()

    @abstractmethod
    def state(self) -> str:
        """How things stand: for the message of a failure."""

    @abstractmethod
    def _environment(self, name: str) -> dict[str, str]:
        """What a process is started with, each time."""

    @abstractmethod
    def up(self, name: str) -> bool:
        """Whether it is ready for work."""

    def start(self, name: str, **once: str) -> None:
        """Start a process; `once` are settings of this one alone, not of those that follow when it dies."""
        process = self.processes.get(name) or Process(name, self._environment(name))
        process.armed = ""
        self.processes[name] = process
        assert process.popen is None, f"{name} is running"
        process.down = False
        self._spawn(process, once)

    def restart(self, name: str, **once: str) -> None:
        """End a process well and start another, with settings of its own."""
        self.terminate(name)
        self.start(name, **once)
        self.ready()

    def arm(self, name: str, point: str) -> None:
        """Have a process die at a crash point (`name:n`: the n-th time); the one that follows it is not armed.

        One that ends before that, as a worker that has lost its lease does, is followed by another that is.
        """
        self.log(name, "crash").unlink(missing_ok=True)
        self.terminate(name)
        self.start(name, CRASH_AT=point)
        self.processes[name].armed = point
        self.ready()

    def hit(self, name: str) -> str:
        """The crash point that the process has died at, or nothing."""
        log = self.log(name, "crash")
        return log.read_text().strip() if log.exists() else ""

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process that runs."""
        popen = self.processes[name].popen
        if popen is not None and popen.returncode is None:
            popen.send_signal(number)

    def send_pid(self, pid: int, number: signal.Signals) -> None:
        """The same to one that a process of ours has started."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def kill(self, name: str) -> None:
        """SIGKILL; it will be started again."""
        self.send(name, signal.SIGKILL)

    def leave_down(self, name: str) -> None:
        """Do not start it again when it dies, until `start`."""
        self.processes[name].down = True

    def take_down(self, name: str) -> None:
        """SIGKILL, and leave it dead until `start`."""
        self.leave_down(name)
        self.kill(name)
        self.until(lambda: self.processes[name].popen is None, what=f"{name}'s end")

    def terminate(self, name: str) -> None:
        """SIGTERM, until it has ended; it stays down."""
        self.processes[name].down = True
        self.send(name, signal.SIGTERM)
        self.until(lambda: self.processes[name].popen is None, seconds=40, what=f"{name}'s end")

    def tend(self) -> None:
        """Note what has died, and start it again unless it is to stay down."""
        if threading.current_thread() is not self._main:
            return
        for process in self.processes.values():
            if process.popen is not None and (status := processes.reap(process.popen)) is not None:
                process.popen = None
                process.ends.append(status)
            if process.popen is None and not process.down:
                if self.hit(process.name):
                    process.armed = ""
                self._spawn(process, {"CRASH_AT": process.armed} if process.armed else {})

    def until(self, condition: Callable[[], T], *, seconds: float = DEADLINE_SECONDS, what: str = "the condition") -> T:
        """The first truthy value of `condition`, tending the processes meanwhile."""
        deadline, pause = clock.monotonic() + seconds, threading.Event()
        while not (value := condition()):
            self.tend()
            assert clock.monotonic() < deadline, f"{what} did not come true within {seconds:g} s: {self.state()}"
            pause.wait(0.02)
        return value

    def ready(self) -> None:
        """Until every producer answers and every worker has its lease, but for those that are to be down."""
        wanted = [name for name, process in self.processes.items() if not process.down]
        self.until(lambda: all(self.up(name) for name in wanted), what="readiness")

    def log(self, name: str, kind: str = "log") -> Path:
        """A file of a process's: what it printed (`log`), or the crash point it died at (`crash`)."""
        return self.directory / f"{name}.{kind}"

    def _spawn(self, process: Process, once: Mapping[str, str]) -> None:
        module = MODULES[process.name.rstrip("0123456789")]
        # Away from the repository, where a developer's .env might name a real provider.
        with self.log(process.name).open("ab") as output:
            process.popen = starting.start(module, process.env | prefixed(once), output, cwd=self.directory)

    def kill_all(self) -> None:
        """End every process, and what it has started, for good."""
        for process in self.processes.values():
            process.down = True
            if process.popen is not None:
                processes.kill(process.popen)
                process.popen.wait()

    def pause(self, name: str) -> None:
        """SIGSTOP, at a moment when it does not hold SQLite's one write lock; `send(name, SIGCONT)` ends it."""
        while True:
            self.send(name, signal.SIGSTOP)
            if not self._sqlite or self._writable():
                return
            self.send(name, signal.SIGCONT)

    def _writable(self) -> bool:
        connection = sqlite3.connect(self._sqlite, timeout=2, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()
        return True


def prefixed(given: Mapping[str, str]) -> dict[str, str]:
    """Settings by the names of their environment variables."""
    return {f"FUSIONAI_{name}": value for name, value in given.items()}
