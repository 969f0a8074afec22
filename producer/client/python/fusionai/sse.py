"""Reads server-sent events out of bytes, as https://html.spec.whatwg.org/multipage/server-sent-events.html says.

Lines end in LF, CRLF or CR, wherever the pieces are cut; a byte order mark at the beginning is none of the first line.
What is not UTF-8 is read all the same. An event without its empty line is dropped at the end, unless it is `[DONE]`:
nothing but that line can be lacking.
"""

import codecs
import re
from collections.abc import AsyncIterator, Iterator
from typing import Final

from openai._streaming import ServerSentEvent

DONE: Final = "[DONE]"
_END: Final = re.compile(r"\r\n|\n|\r")


class EventDecoder:
    """One stream: OpenAI's client makes one for each (`_make_sse_decoder`)."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        #: Pieces of the line that has not ended; whether the piece before ended in CR, whose LF may be still to come.
        self._open: list[str] = []
        self._after_cr = False
        self._begun = False
        self._event: str | None = None
        self._data: list[str] = []
        self._id: str | None = None

    def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[ServerSentEvent]:
        """The events of a body."""
        for piece in iterator:
            yield from self.take(piece)
        yield from self.end()

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
        """The same, asynchronously."""
        async for piece in iterator:
            for event in self.take(piece):
                yield event
        for event in self.end():
            yield event

    def take(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """The events that are whole with these bytes."""
        for line in self._lines(self._decoder.decode(piece)):
            if not line:
                event = self._whole()
                if event is not None:
                    yield event
            else:
                self._field(line)

    def end(self) -> Iterator[ServerSentEvent]:
        """What there is at the end of the body."""
        self._field("".join(self._open))
        if self._data == [DONE]:
            yield ServerSentEvent(data=DONE)

    def _lines(self, text: str) -> Iterator[str]:
        if not self._begun and text:
            self._begun = True
            text = text.removeprefix("\ufeff")
        start = 1 if self._after_cr and text.startswith("\n") else 0
        if text:
            self._after_cr = text.endswith("\r")
        for end in _END.finditer(text, start):
            self._open.append(text[start : end.start()])
            yield "".join(self._open)
            self._open = []
            start = end.end()
        if start < len(text):
            self._open.append(text[start:])

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _whole(self) -> ServerSentEvent | None:
        """The event that an empty line ends; None: there was none, or it has no data."""
        event, data, id = self._event, self._data, self._id
        self._event, self._data, self._id = None, [], None
        return ServerSentEvent(event=event, data="\n".join(data), id=id) if data else None
