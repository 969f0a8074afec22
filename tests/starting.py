"""Starts our processes for tests: forked from one that has imported most modules, which is most of a start's time.

    process = start("workers.app", environment, log.fileno())

What is forked is what `python -m workers.app` would be: it reads its settings itself, has the environment that it is
given, a session of its own, and a test's process for a parent, with whose main thread it dies. Where that cannot be, on
another system than Linux or with another PYTHONPATH, it is `python -m` indeed.
"""

import atexit
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from shared import processes
from workers.simulator import server

ROOT = Path(__file__).parents[1]
#: Where Python finds what sets the clock of a process wrong, if that stands before the rest of its PYTHONPATH.
HOSTS = ROOT / "tests" / "chaos" / "hosts"
#: From <linux/prctl.h>: orphans among the descendants become children of this process.
_PR_SET_CHILD_SUBREAPER = 36


class Child:
    """A child process that somebody else has forked; of subprocess.Popen, what tests and `shared.processes` use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        #: What it prints, where that is for us to read.
        self.stdout: IO[str] | None = None

    def poll(self) -> int | None:
        """Its exit status once it has ended: negative for a signal's number."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The same, when it has ended; subprocess.TimeoutExpired after `timeout` seconds."""
        pause, passed = threading.Event(), 0.0
        while (status := self.poll()) is None:
            if timeout is not None and passed >= timeout:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            pause.wait(0.01)
            passed += 0.01
        return status

    def send_signal(self, number: int) -> None:
        """Nothing to one that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


#: A started process, of either kind.
Process = Child | subprocess.Popen[bytes]


def start(
    module: str,
    env: Mapping[str, str],
    output: IO[bytes] | int | None = None,
    *arguments: str,
    cwd: Path | None = None,
) -> Process:
    """Start `python -m module arguments` in `cwd`, or where we are; from the main thread.

    Both its streams go to `output`; None: where ours go.
    """
    if not can_fork(env):
        with chdir(cwd or Path.cwd()):
            return processes.start([sys.executable, "-m", module, *arguments], env, output)
    descriptor = 2 if output is None else output if isinstance(output, int) else output.fileno()
    return _fork(module, env, arguments, cwd or Path.cwd(), descriptor, descriptor)


def start_command(words: Sequence[object], env: Mapping[str, str], *streams: IO[bytes] | int) -> Process:
    """Start `fusionai` with these words; `streams`: its input, output and errors."""
    argv = [str(word) for word in words]
    if not can_fork(env):
        given = dict(zip(("stdin", "stdout", "stderr"), streams, strict=True))
        return subprocess.Popen([sys.executable, "-m", "producer.cli", *argv], env=env, **given)  # type: ignore[call-overload,no-any-return]
    descriptors = [stream if isinstance(stream, int) else stream.fileno() for stream in streams]
    return _fork("producer.cli.__main__", env, argv, Path.cwd(), *descriptors)


def can_fork(env: Mapping[str, str]) -> bool:
    """Whether a process with this environment may be forked from one that has imported our modules."""
    theirs, ours = env.get("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")
    return sys.platform == "linux" and theirs in (ours, with_host(ours))


def with_host(path: str) -> str:
    """A PYTHONPATH with what makes a host of its own before the rest."""
    return os.pathsep.join(filter(None, [str(HOSTS), path]))


def fork_simulators() -> None:
    """Have the simulators of this process forked, too: what `workers.simulator.server` starts."""
    if can_fork(os.environ):
        server.start = _forked_simulator  # type: ignore[assignment]


def _forked_simulator(command: Sequence[str]) -> Child:
    """Stands for `workers.simulator.server.start`."""
    _, _, module, *arguments = command
    ours, its = os.pipe()
    try:
        process = _fork(module, os.environ, arguments, server.ROOT, its, 2)
    finally:
        os.close(its)
    process.stdout = os.fdopen(ours)
    return process


def _fork(module: str, env: Mapping[str, str], arguments: Sequence[str], cwd: Path, *streams: int) -> Child:
    return _forker().start(module, env, arguments, cwd, *streams)


@cache
def _forker() -> "Forker":
    return Forker()


def renew() -> None:
    """Let what is forked from now on be where this thread is now, should it have gone to another network."""
    if _forker.cache_info().currsize:
        _forker().stop()
        _forker.cache_clear()


class Forker:
    """The process that forks ours; one for the session, and for a host of its own (tests/cluster) another.

    `before`: words before the command, which bring it there; `env`: what it is itself started with.
    """

    def __init__(self, before: Sequence[str] = (), env: Mapping[str, str] | None = None) -> None:
        self._socket, theirs = socket.socketpair()
        parent = os.getpid()
        with theirs:
            self._process = subprocess.Popen(
                [*before, sys.executable, "-m", "tests.forking", str(theirs.fileno())],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                preexec_fn=lambda: processes.follow(parent),
            )
        atexit.register(self.stop)

    def start(self, module: str, env: Mapping[str, str], arguments: Sequence[str], cwd: Path, *streams: int) -> Child:
        """Start `python -m module arguments` in `cwd`, with these for its streams; from the main thread."""
        place = {"cwd": str(cwd), "parent": os.getpid()}
        host = str(HOSTS) if env.get("PYTHONPATH", "").startswith(str(HOSTS)) else None
        order = {"module": module, "arguments": arguments, "env": dict(env), "host": host, **place}
        return Child(self.fork(order, *streams))

    def fork(self, order: Mapping[str, Any], *streams: int) -> int:
        """The process id of a new child of ours, with these for its streams: its input, or none, output and errors."""
        text = json.dumps(order).encode()
        with _adopting():
            socket.send_fds(self._socket, [len(text).to_bytes(4, "big")], streams)
            self._socket.sendall(text)
            answer = self._socket.recv(4)
        if len(answer) != 4:
            raise RuntimeError("the process that forks ours has ended")
        return int.from_bytes(answer, "big")

    def stop(self) -> None:
        """End it; what it has forked lives on."""
        self._socket.close()
        self._process.wait()


@contextmanager
def _adopting() -> Iterator[None]:
    """Meanwhile the orphans among our descendants become our children."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
