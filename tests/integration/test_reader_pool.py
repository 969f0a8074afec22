"""The processes that read large batch files: they find what one reader finds, and never outlive the caller."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import orjson
import pytest

from shared import clock
from shared.batches import lines
from shared.batches.lines import FileReading, Wanted
from tests.conditions import await_condition
from workers.batches.reader_pool import ALONE_SECONDS, FIRST, ReaderPool

WANTED = Wanted(None, test=False)
#: So that a file has more chunks than the caller reads itself, and a line of each sort is in several of them.
LINES = 9000


def _file() -> bytes:
    """Good lines, with a double, a bad body and a blank one far down."""
    made = []
    for number in range(LINES):
        custom_id = "line-5" if number == 8000 else f"line-{number}"
        content = 7 if number == 8500 else "how many apples are left " * 8
        body = {"model": "gpt-4", "messages": [{"role": "user", "content": content}]}
        line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
        made.append(b"" if number == 7500 else orjson.dumps(line))
    return b"\n".join(made)


def _taken(parts: Iterator[lines.ReadChunk | None]) -> tuple[FileReading, bytes]:
    reading = FileReading()
    plan = b"".join(reading.add(part) for part in parts if part)
    reading.end()
    return reading, plan


@pytest.fixture(scope="module")
def pool() -> Iterator[ReaderPool]:
    """The readers of this module."""
    made = ReaderPool()
    made.ready()
    yield made
    made.close()


@pytest.fixture
def readers(pool: ReaderPool) -> ReaderPool:
    """The same, once they are up."""
    await_condition(pool.ready, what="the readers' start")
    return pool


def test_side_by_side_is_as_one_after_the_other(readers: ReaderPool) -> None:
    file = _file()
    assert len(list(lines.chunks(io.BytesIO(file)))) > 2 * FIRST
    one, plan = _taken(lines.read(chunk, WANTED) for chunk in lines.chunks(io.BytesIO(file)))
    many, same = _taken(readers.parts(io.BytesIO(file), WANTED))
    assert plan == same
    assert (one.total, one.bound_micros, one.models) == (many.total, many.bound_micros, many.models)
    told = [fault.as_json() for fault in many.faults]
    assert told == [fault.as_json() for fault in one.faults]
    assert [(fault["code"], fault["line"]) for fault in told] == [
        ("duplicate_custom_id", 8001),
        ("invalid_request", 8501),
    ]


def test_after_a_reader_was_killed_the_caller_reads_alone_for_a_while(
    readers: ReaderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = readers.parts(io.BytesIO(_file()), WANTED)
    assert readers._pool is not None
    (victim, *_) = readers._pool._processes
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool):
        _taken(parts)
    reading, _ = _taken(readers.parts(io.BytesIO(_file()), WANTED))
    assert reading.total == LINES - 2 and not readers.ready()
    monotonic = clock.monotonic
    monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + ALONE_SECONDS)
    await_condition(readers.ready, what="new readers")


def test_readers_that_do_not_come_up_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", no_room)
    made = ReaderPool()
    reading, _ = _taken(made.parts(io.BytesIO(_file()), WANTED))
    assert reading.total == LINES - 2 and not made.ready()


def test_they_end_when_their_caller_is_killed() -> None:
    program = (
        "from workers.batches.reader_pool import ReaderPool\n"
        "if __name__ == '__main__':\n"
        "    readers = ReaderPool()\n"
        "    while not readers.ready(): pass\n"
        "    print(*readers._pool._processes, flush=True)\n"
        "    input()\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert caller.stdin and caller.stdout
    with caller.stdin, caller.stdout:
        children = [int(pid) for pid in caller.stdout.readline().split()]
        caller.kill()
        caller.wait()
        assert children
        await_condition(lambda: not any(_alive(pid) for pid in children), what="the readers' end")


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
