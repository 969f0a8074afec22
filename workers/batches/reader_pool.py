"""A pool of processes that read and price the chunks of large batch files side by side.

They are started for the first large file, and work once they are up; until then, and for small files, the caller reads.
What lines are linked to is looked up on a thread, chunk after chunk: a data hub that is slow holds no other file up.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import BinaryIO, Final, TypeAlias

from shared import clock, logs, processes
from shared.batches import lines
from shared.batches.lines import ReadChunk, Wanted
from shared.providers.statistics_watch import StatisticsWatch
from shared.settings import settings

log = logging.getLogger(__name__)

#: Chunks of a file that the caller reads before it asks others: small files are done by then.
FIRST: Final = 4
#: Chunks that wait for each reader, so that none waits for the caller.
AHEAD: Final = 2
#: Files whose entities are looked up at the same time, and how long a look at whether they are there takes, in seconds.
LINKS: Final = 8
LOOK_SECONDS: Final = 0.05
#: How long the caller reads alone after they could not be started, or one of them was killed, in seconds.
ALONE_SECONDS: Final = 60.0

#: A chunk's lines, and what they have to be.
Chunk: TypeAlias = tuple[Sequence[bytes], Wanted]
Link: TypeAlias = Callable[[Sequence[bytes], Wanted], Wanted]


def unlinked(chunk: Sequence[bytes], wanted: Wanted) -> Wanted:
    """For lines that are linked to nothing."""
    return wanted


class ReaderPool:
    """The reading processes of one caller, who calls from its main thread: they end when that does."""

    def __init__(self) -> None:
        self._count = settings().batch_readers if (os.cpu_count() or 1) > 1 else 0
        self._pool: ProcessPoolExecutor | None = None
        self._up: Future[None] | None = None
        self._not_before = 0.0
        self._links = ThreadPoolExecutor(LINKS, thread_name_prefix="links")

    def parts(self, file: BinaryIO, wanted: Wanted, link: Link = unlinked) -> Iterator[ReadChunk | None]:
        """What is found in each chunk of a file, in order. None: there is nothing yet, and others may have a turn.

        `link`: adds what a chunk is linked to; on a thread of this process.
        """
        chunks, read = self._linked(file, wanted, link), 0
        for chunk in chunks:
            if chunk is None:
                yield None
            elif read >= FIRST and self.ready():
                yield from self._side_by_side(chunk, chunks)
            else:
                yield lines.read(*chunk)
                read += 1

    def _linked(self, file: BinaryIO, wanted: Wanted, link: Link) -> Iterator[Chunk | None]:
        """Each chunk with what it has to be; None: what it is linked to is not known yet."""
        for chunk in lines.chunks(file):
            if not wanted.may_link:
                yield chunk, wanted
                continue
            asked = self._links.submit(link, chunk, wanted)
            try:
                while not wait([asked], LOOK_SECONDS).done:
                    yield None
                yield chunk, asked.result()
            finally:
                asked.cancel()

    def close(self) -> None:
        """End them."""
        self._links.shutdown(wait=False, cancel_futures=True)
        self._end()

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool = self._up = None

    def ready(self) -> bool:
        """Whether they are up; they are started by the first who asks."""
        if self._up is None and self._count and clock.monotonic() >= self._not_before:
            self._start()
        if self._up is None or not self._up.done():
            return False
        if error := self._up.exception():
            self._give_up(error)
        return self._up is not None

    def _start(self) -> None:
        self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), initializer=_begin, initargs=(os.getpid(),))
        try:
            self._up = self._pool.submit(_nothing)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        """Do without them for a while: perhaps there is no room for them."""
        log.warning("no reader processes: this process reads batch files alone (%s)", logs.kind(error))
        self._not_before = clock.monotonic() + ALONE_SECONDS
        self._end()

    def _side_by_side(self, chunk: Chunk, others: Iterator[Chunk | None]) -> Iterator[ReadChunk | None]:
        assert self._pool is not None
        asked: deque[Future[ReadChunk]] = deque()
        try:
            asked.append(self._pool.submit(lines.read, *chunk))
            for other in others:
                if other is None:
                    yield None
                    continue
                asked.append(self._pool.submit(lines.read, *other))
                if len(asked) > AHEAD * self._count:
                    yield asked.popleft().result()
            while asked:
                yield asked.popleft().result()
        except BrokenProcessPool as error:  # one was killed: the file is read again later
            self._give_up(error)
            raise
        finally:
            for future in asked:
                future.cancel()


def _begin(parent: int) -> None:
    """In a new process: it ends with its parent, and leaves the processors to whoever serves customers."""
    processes.follow(parent)
    os.nice(5)
    processes.collect_seldom()
    StatisticsWatch(settings().redis_url).start()


def _nothing() -> None:
    """What a process can do as soon as it is up."""
