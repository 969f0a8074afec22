"""The process from which those of tests are forked: it has imported our libraries, and our modules that may be shared.

No module that reads the settings when it is imported may be, nor what imports such a one: each process has its own.

    python -m tests.forking DESCRIPTOR

An order on the socket is the length of a JSON object in 4 bytes, with the descriptors of the streams (input, output and
errors, or the last two), and the object; the answer is the new process's id in 4 bytes. See tests/starting.py, which is
at the other end.
"""

import ctypes
import gc
import importlib.util
import json
import os
import runpy
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

#: What reads the settings when it is imported.
READERS = ("shared.broker.app",)
#: What tests start.
PROGRAMS = (
    "producer.app",
    "workers.app",
    "workers.batches.__main__",
    "workers.maintenance.sweep",
    "workers.simulator.__main__",
)
#: What they import when they run, `fusionai` and Celery's worker among them, or after a reader of settings.
CALLED = (
    "producer.cli.failures",
    "producer.stack.stack",
    "workers.process.consumer",
    "workers.process.remote_control",
    "workers.process.runtime",
    "workers.providers.anthropic",
    "workers.providers.google",
    "workers.providers.openai",
    "workers.providers.sandbox",
    "billiard.connection",
    "billiard.pool",
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.apps.worker",
    "celery.backends.base",
    "celery.concurrency.thread",
    "celery.contrib.abortable",
    "celery.events.state",
    "celery.fixups.django",
    "celery.loaders.app",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.pidbox",
    "celery.worker.strategy",
    "encodings.idna",
    "importlib.readers",
    "kombu.pidbox",
    "sqlite3",
    "uvicorn.lifespan.off",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
)
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def commands() -> set[str]:
    """The modules that have the commands of `fusionai`."""
    from producer.cli import COMMANDS

    return {place.partition(":")[0] for place in COMMANDS.values()}


def preload() -> None:
    """Import what may be shared: libraries, and modules of ours that fail for want of no reader of settings."""
    sys.modules.update(dict.fromkeys(READERS))  # type: ignore[arg-type]
    for name in (*PROGRAMS, *CALLED, *commands()):
        with suppress(ImportError):
            importlib.import_module(name)
    for name in (*READERS, *PROGRAMS):
        sys.modules.pop(name, None)
    from shared.settings import settings
    from shared.submissions.catalogue_files import shipped

    shipped()
    assert not settings.cache_info().currsize, "a module has read the settings: it belongs to READERS"
    assert len(threading.enumerate()) == 1, "a module has started a thread, which no fork has"


def forked(order: dict[str, Any], streams: Sequence[int]) -> int:
    """Fork twice, so that the process is an orphan, whom its `parent` adopts; its process id (0: we are that one)."""
    reader, writer = os.pipe()
    between = os.fork()
    if between == 0:
        if os.fork():
            os._exit(0)
        os.close(reader)
        os.setsid()
        os.write(writer, os.getpid().to_bytes(4, "big"))
        os.close(writer)
        become(order, streams)
        return 0
    os.close(writer)
    pid = os.read(reader, 4)
    os.close(reader)
    os.waitpid(between, 0)
    return int.from_bytes(pid, "big")


def become(order: dict[str, Any], streams: Sequence[int]) -> None:
    """Take the parent, streams, directory and environment of the order."""
    while os.getppid() != order["parent"]:
        if os.getppid() == 1:  # it died before it could adopt us
            os._exit(1)
        os.sched_yield()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != order["parent"]:
        os._exit(1)
    for number, stream in enumerate(streams, start=3 - len(streams)):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["cwd"])
    sys.path[0] = order["cwd"]
    os.environ.clear()
    os.environ.update(order["env"])
    open_streams()
    if order["host"]:
        take_host(order["host"])


def take_host(directory: str) -> None:
    """Run what Python would have run when it started, had it found it there."""
    spec = importlib.util.spec_from_file_location("host", f"{directory}/sitecustomize.py")
    assert spec and spec.loader
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def open_streams() -> None:
    """Open the standard streams as Python does when it starts: by the line on a terminal, errors always."""
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, encoding=sys.stdin.encoding, errors=sys.stdin.errors, closefd=False)
    sys.stdout = open(1, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, closefd=False)
    sys.stderr = open(2, "w", 1, encoding=sys.stderr.encoding, errors=sys.stderr.errors, closefd=False)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(write_through=at_once)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def order_of(orders: socket.socket) -> tuple[dict[str, Any], Sequence[int]] | None:
    """The next order and its descriptors; None when there will be none."""
    head, descriptors, *_ = socket.recv_fds(orders, 4, 3)
    if not head:
        return None
    length, text = int.from_bytes(head, "big"), b""
    while len(text) < length:
        text += orders.recv(length - len(text))
    return json.loads(text), descriptors


def main() -> dict[str, Any] | None:
    """Fork as ordered until the socket is closed; in a forked process: the order for it."""
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        gc.disable()  # what is imported stays: to look for garbage among it is a sixth of the work
        preload()
        gc.enable()
        gc.collect()
        gc.freeze()
        while order := order_of(orders):
            pid = forked(*order)
            if not pid:
                return order[0]
            for stream in order[1]:
                os.close(stream)
            orders.sendall(pid.to_bytes(4, "big"))
    return None


if __name__ == "__main__" and (own := main()):
    sys.argv[1:] = own["arguments"]
    sys.modules.pop(own["module"], None)
    runpy.run_module(own["module"], run_name="__main__", alter_sys=True)
