"""Keeps processes running: restarts what dies, passes on what they print, and stops all of them with a drain.

One thread and one selector: the kernel ties a child's life to the thread that started it; a signal wakes the
loop.
"""

import io
import os
import selectors
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Self

from producer.stack.output import ProcessOutput
from shared import clock, processes

#: The pause before a dead process starts again doubles from the first to the last of these.
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.1, 5.0
#: A process that lived as long starts again after the first pause.
_HEALTHY_SECONDS = 30.0
#: How long after the drain, and after what may follow it, everything but the `last` is killed, and how long after that
#: those are. Of the first the web process needs up to 0.3 s for its last answers, and then Python's end takes its time.
_KILL_SECONDS, _KILL_LAST_SECONDS = 2.0, 1.0
_PROBE_SECONDS = 0.05


class StopRequested(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived."""


@dataclass(frozen=True)
class Program:
    """What to run. `last`: others need it while they stop. `once`: its end is an answer."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    last: bool = False
    once: bool = False


@dataclass
class Child:
    """A program and its present process, if it has one; otherwise when it starts again (None: never)."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float | None = 0.0
    pause_seconds: float = _FIRST_PAUSE_SECONDS
    status: int | None = None


class Supervisor:
    """A context manager: whatever was started in it is gone when it ends. Main thread only.

    `stop_seconds`: how long a process may rightly take to stop, its drain and what follows that.
    """

    def __init__(
        self, output: ProcessOutput, *, stop_seconds: float = 2.5, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._output = output
        self._stop_seconds = stop_seconds
        self._changed = changed
        self._children: dict[str, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._asked_to_stop = False

    def __enter__(self) -> Self:
        self._wake, wake = socket.socketpair()
        self._wake.setblocking(False)
        wake.setblocking(False)
        self._wake_writer = wake
        self._selector.register(self._wake, selectors.EVENT_READ)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._stop()
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._wake.close()
        self._wake_writer.close()

    def start(self, program: Program) -> None:
        """Run a program from now on."""
        self._children[program.name] = child = Child(program)
        self._start(child)

    def run_once(self, program: Program) -> int:
        """Run a program to its end, the others meanwhile; its exit status."""
        self.start(program)
        child = self._children[program.name]
        self.wait_until(lambda: child.status is not None)
        del self._children[program.name]
        return child.status if child.status is not None else 1

    def wait_until(self, condition: Callable[[], bool], seconds: float = float("inf")) -> bool:
        """Keep everything running until the condition holds (True) or the time is up (False)."""
        deadline = clock.monotonic() + seconds
        while not condition():
            if clock.monotonic() > deadline:
                return False
            self._turn(_PROBE_SECONDS)
        return True

    def run(self) -> None:
        """Keep everything running until StopRequested."""
        while True:
            self._turn(60.0)

    def pids(self) -> dict[str, int]:
        """The processes that run now, by name."""
        return {name: child.process.pid for name, child in self._children.items() if child.process}

    def _turn(self, limit_seconds: float) -> None:
        self._wait(limit_seconds)
        if self._asked_to_stop:
            raise StopRequested
        self._reap()
        for child in self._children.values():
            if child.process is None and child.start_at is not None and clock.monotonic() >= child.start_at:
                self._start(child)

    def _wait(self, limit_seconds: float) -> None:
        due = [c.start_at - clock.monotonic() for c in self._children.values() if not c.process and c.start_at]
        for key, _ in self._selector.select(max(0.0, min([limit_seconds, *due]))):
            if key.fileobj is self._wake:
                self._drain_wake()
            else:
                self._read(key.fd, key.data)

    def _drain_wake(self) -> None:
        try:
            while self._wake.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _start(self, child: Child) -> None:
        name = child.program.name
        try:
            child.process = processes.start(child.program.argv, child.program.env, subprocess.PIPE)
        except OSError as error:
            self._output.announce(f"{name} cannot start: {error}")
            self._ended(child, 127)
            return
        self._output.began(name, child.process.pid)
        child.started_at, child.start_at = clock.monotonic(), None
        if child.process.stdout is not None:
            os.set_blocking(child.process.stdout.fileno(), False)
            self._selector.register(child.process.stdout, selectors.EVENT_READ, name)
        self._changed()

    def _read(self, fd: int, name: str) -> None:
        try:
            data = os.read(fd, 65_536)
        except BlockingIOError:
            return
        if data:
            self._output.feed(name, data)
        else:
            self._close_pipe(fd)

    def _close_pipe(self, fd: int) -> None:
        pipe = self._selector.unregister(fd).fileobj
        if isinstance(pipe, io.IOBase):
            pipe.close()

    def _reap(self) -> None:
        for child in self._children.values():
            if child.process is not None and (status := processes.reap(child.process)) is not None:
                child.process = None
                self._ended(child, status)

    def _ended(self, child: Child, status: int) -> None:
        child.status = status
        if child.program.once or self._asked_to_stop:
            child.start_at = None
            return
        now = clock.monotonic()
        if now - child.started_at >= _HEALTHY_SECONDS:
            child.pause_seconds = _FIRST_PAUSE_SECONDS
        child.start_at = now + child.pause_seconds
        self._output.died(child.program.name, _describe(status), child.pause_seconds)
        child.pause_seconds = min(child.pause_seconds * 2, _LAST_PAUSE_SECONDS)
        self._changed()

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_stop = True

    def _stop(self) -> None:
        """SIGTERM to all but the last, then to those; SIGKILL to what does not listen."""
        self._asked_to_stop = True
        for child in self._children.values():
            child.start_at = None
        deadline = clock.monotonic() + self._stop_seconds
        for last, kill_seconds in ((False, _KILL_SECONDS), (True, _KILL_LAST_SECONDS)):
            deadline += kill_seconds
            children = [c for c in self._children.values() if c.program.last is last]
            for child in children:
                if child.process is not None:
                    child.process.terminate()
            self._await_end(children, deadline)
            for child in children:
                if child.process is not None:
                    self._output.announce(f"{child.program.name} did not stop in time: killed")
                    processes.kill(child.process)
                    child.process.wait()

    def _await_end(self, children: list[Child], deadline: float) -> None:
        while any(c.process for c in children) and (left := deadline - clock.monotonic()) > 0:
            self._wait(min(left, _PROBE_SECONDS))
            self._reap()


def _describe(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
