"""Streams that know their end: one that is cut short is an error, and not a short answer.

The official SDK takes the end of a connection for the end of a stream, and reads no ids of events.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, TypeVar, get_args, get_origin

from openai import AsyncStream, Stream
from openai._streaming import ServerSentEvent

from fusionai.errors import JOB_HEADER, APIConnectionError, APITimeoutError, StreamCutError, StreamError
from fusionai.sse import DONE

T = TypeVar("T")

#: Events after which nothing comes, of streams whose events have names.
_LAST: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled", "error"}
)


class Watch:
    """What is known of a stream that is being read: whether it is over, and which event was the last."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.over = False
        self.last_event_id: str | None = None
        #: The event that was read before this stream began: should the server repeat it, it is left out.
        self.read_before: str | None = None
        #: How many events it gave.
        self.events = 0

    def takes(self, event: ServerSentEvent) -> bool:
        """Note an event; whether it is one to give. StreamError where it says that the stream ends without the rest."""
        if event.data.startswith(DONE):
            self.over = True
            return True
        self._check(event.data)
        if event.event in _LAST:
            self.over = True
            return True
        if event.id is not None:
            if event.id == self.read_before:
                return False
            self.last_event_id = event.id
        self.events += 1
        return True

    def cut(self, why: str = "the stream was cut before its end") -> StreamCutError:
        """The error of a stream that ends here."""
        return StreamCutError(self._response.request, self._job_id, self.last_event_id, why)

    @property
    def _job_id(self) -> str | None:
        found: str | None = self._response.headers.get(JOB_HEADER)
        return found

    def _check(self, data: str) -> None:
        """Raise the error that an event says, and of one that is no object at all that the stream is broken."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            raise self.cut("an event of the stream is not JSON") from None
        if not isinstance(value, dict):
            raise self.cut("an event of the stream is not an object")
        error = value.get("error")
        if isinstance(error, str) and error:
            error = {"message": error}
        if isinstance(error, dict):
            message = str(error.get("message") or "the stream ended with an error")
            raise StreamError(message, self._response.request, error, self._job_id)


class CheckedStream(Stream[T]):
    """OpenAI's stream, which raises StreamCutError or StreamError where that would just end."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.watch = Watch(self.response)

    def _iter_events(self) -> Iterator[ServerSentEvent]:
        try:
            yield from filter(self.watch.takes, super()._iter_events())
        except APITimeoutError:
            raise
        except APIConnectionError as error:
            raise self.watch.cut() from error
        if not self.watch.over:
            raise self.watch.cut()


class AsyncCheckedStream(AsyncStream[T]):
    """The same of asynchronous streams."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.watch = Watch(self.response)

    async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
        try:
            async for event in super()._iter_events():
                if self.watch.takes(event):
                    yield event
        except APITimeoutError:
            raise
        except APIConnectionError as error:
            raise self.watch.cut() from error
        if not self.watch.over:
            raise self.watch.cut()


def checked(stream_cls: Any) -> Any:
    """The class of a stream that OpenAI's resources ask for, as ours."""
    ours: dict[Any, Any] = {Stream: CheckedStream, AsyncStream: AsyncCheckedStream}
    kind = ours.get(get_origin(stream_cls) or stream_cls)
    (item,) = get_args(stream_cls) or (object,)
    return stream_cls if kind is None else kind[item]
