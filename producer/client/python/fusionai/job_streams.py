"""The stream of a job, which is read on after the last event that came when its connection is lost."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Self

from openai.types.chat import ChatCompletionChunk

from fusionai.errors import APITimeoutError, StreamCutError, StreamError
from fusionai.streaming import AsyncCheckedStream, CheckedStream

Chunks = CheckedStream[ChatCompletionChunk]
AsyncChunks = AsyncCheckedStream[ChatCompletionChunk]
#: Opens a stream after the event of this id.
Opens = Callable[[str | None], Chunks]
AsyncOpens = Callable[[str | None], Awaitable[AsyncChunks]]
#: Seconds to pause before this try to read on, of those since the last event that came.
Pause = Callable[[int], float]

_LOST = (StreamCutError, StreamError, APITimeoutError)


class _Resumed:
    """Where a stream stands, and how often it was asked for since the last event that came."""

    def __init__(self, last_event_id: str | None, most: int, pause: Pause) -> None:
        #: The id of the event that was read last; `jobs.stream(id, last_event_id=…)` goes on after it.
        self.last_event_id = last_event_id
        self._most = most
        self._pause = pause
        self._tries = 0
        self._closed = False

    def _began(self, stream: Chunks | AsyncChunks) -> None:
        stream.watch.read_before = stream.watch.last_event_id = self.last_event_id

    def _ended(self, stream: Chunks | AsyncChunks, error: Exception) -> float:
        """The seconds to pause before it is read on; the error, where it is not."""
        self._tries = 0 if stream.watch.events else self._tries
        self.last_event_id = stream.watch.last_event_id
        if isinstance(error, StreamError):
            if error.last_event_id is None:
                raise error
            self.last_event_id = error.last_event_id
        if self._tries >= self._most:
            raise error
        self._tries += 1
        return self._pause(self._tries)


class JobStream(_Resumed):
    """The chunks of a job's answer."""

    def __init__(self, opens: Opens, sleep: Callable[[float], object], last: str | None, most: int, p: Pause) -> None:
        super().__init__(last, most, p)
        self._opens = opens
        self._sleep = sleep
        self._stream: Chunks | None = None
        self._chunks = self._read()

    def __iter__(self) -> Iterator[ChatCompletionChunk]:
        return self._chunks

    def __next__(self) -> ChatCompletionChunk:
        return next(self._chunks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Read no more of it; the job goes on."""
        self._closed = True
        if self._stream is not None:
            self._stream.close()

    def _read(self) -> Iterator[ChatCompletionChunk]:
        while not self._closed:
            stream = self._stream = self._opens(self.last_event_id)
            self._began(stream)
            try:
                for chunk in stream:
                    self.last_event_id = stream.watch.last_event_id
                    yield chunk
                    if self._closed:
                        return
                return
            except _LOST as error:
                if self._closed:
                    return
                self._sleep(self._ended(stream, error))


class AsyncJobStream(_Resumed):
    """The same, asynchronously."""

    def __init__(
        self, opens: AsyncOpens, sleep: Callable[[float], Awaitable[object]], last: str | None, most: int, p: Pause
    ) -> None:
        super().__init__(last, most, p)
        self._opens = opens
        self._sleep = sleep
        self._stream: AsyncChunks | None = None
        self._chunks = self._read()

    def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        return self._chunks

    async def __anext__(self) -> ChatCompletionChunk:
        return await anext(self._chunks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Read no more of it; the job goes on."""
        self._closed = True
        if self._stream is not None:
            await self._stream.close()

    async def _read(self) -> AsyncIterator[ChatCompletionChunk]:
        while not self._closed:
            stream = self._stream = await self._opens(self.last_event_id)
            self._began(stream)
            try:
                async for chunk in stream:
                    self.last_event_id = stream.watch.last_event_id
                    yield chunk
                    if self._closed:
                        return
                return
            except _LOST as error:
                if self._closed:
                    return
                await self._sleep(self._ended(stream, error))
