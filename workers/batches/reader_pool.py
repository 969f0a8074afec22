"""A pool of processes that read and price the chunks of large batch files side by side.

They are started for the first large file, and work once they are up; until then, and for small files, the caller reads.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import BinaryIO, Final, TypeAlias

from shared import clock, logs, processes
from shared.batches import lines
from shared.batches.lines import Part, Wanted
from shared.providers.statistics_watch import Watch
from shared.settings import settings

log = logging.getLogger(__name__)

#: Chunks of a file that the caller reads before it asks others: small files are done by then.
FIRST: Final = 4
#: Chunks that wait for each reader, so that none waits for the caller.
AHEAD: Final = 2
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

    def parts(self, file: BinaryIO, wanted: Wanted, link: Link = unlinked) -> Iterator[Part]:
        """What is found in each chunk of a file, in order. `link`: adds what a chunk is linked to; here alone."""
        chunks = ((chunk, link(chunk, wanted)) for chunk in lines.chunks(file))
        for chunk in islice(chunks, FIRST):
            yield lines.read(*chunk)
        for chunk in chunks:
            if self.ready():
                yield from self._side_by_side(chunk, chunks)
            else:
                yield lines.read(*chunk)

    def close(self) -> None:
        """End them."""
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
        self.close()

    def _side_by_side(self, chunk: Chunk, others: Iterator[Chunk]) -> Iterator[Part]:
        assert self._pool is not None
        asked: deque[Future[Part]] = deque()
        try:
            asked.append(self._pool.submit(lines.read, *chunk))
            for other in others:
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
    Watch(settings().redis_url).start()


def _nothing() -> None:
    """What a process can do as soon as it is up."""
