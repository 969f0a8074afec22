"""Child processes that end with this one, with all that they started; a process's collection, pages, turns of threads.

Each has a session of its own, so that a terminal's Ctrl-C reaches the supervisor only. On Linux the
kernel signals it when its parent dies, SIGKILL of the parent included; start it from the parent's main thread,
for "parent" means that thread.
"""

import ctypes
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
#: From <linux/prctl.h>: the signal that a process gets when its parent dies.
_PR_SET_PDEATHSIG = 1
#: From the same: no memory of this process, or of its children, is given in huge pages (Linux 3.15).
_PR_SET_THP_DISABLE = 41
#: How long a thread that wants the interpreter lets another have it, in seconds; Python's own is 0.005.
SWITCH_SECONDS = 0.001


def start(
    argv: Sequence[str],
    env: Mapping[str, str],
    output: IO[bytes] | int | None = None,
    *,
    orphaned: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start `argv`, both its streams going to `output` (None: where ours go), `orphaned` its end; or OSError."""
    parent = os.getpid()
    return subprocess.Popen(
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: follow(parent, orphaned),
    )


def follow(parent: int, orphaned: signal.Signals = signal.SIGKILL) -> None:
    """Have this process get that signal when its parent, of that process id, dies; called in the child."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, orphaned)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


def reap(process: subprocess.Popen[bytes]) -> int | None:
    """Its exit status once it has ended, None before; what it left running in its group is killed with it."""
    if process.returncode is None and hasattr(os, "waitid"):
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        kill(process)  # while the zombie still keeps the group's number from being given to another
    return process.poll()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process that has not been reaped yet, and to everything in its group."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()


def freeze_loaded() -> None:
    """Leave what is loaded by now out of collections of garbage: to go through all modules takes 0.1 s."""
    gc.collect()
    gc.freeze()


def collect_seldom() -> None:
    """Collect garbage seldom from now on, when all is loaded: with thousands of live jobs a collection takes long."""
    freeze_loaded()
    gc.set_threshold(50_000, 20, 50)


def switch_often() -> None:
    """Let threads take turns often from now on: the event loop waits for the interpreter while database threads are
    busy, and so does the thread that hands over an answer which came through a proxy.
    """
    sys.setswitchinterval(SWITCH_SECONDS)


def take_small_pages() -> None:
    """Take memory in small pages from now on: of a huge one all counts, however little is in it.

    Measured with the provider client of 2026-11, whose allocator asks for huge ones as that of calls through a proxy
    does: with 5,000 calls in flight 52 kB a call instead of 38.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
