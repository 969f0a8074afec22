"""A streamed exchange with a provider: its server-sent events as they come.

Read as the standard has it (WHATWG HTML, 9.2.6): lines end in LF, CRLF or CR, a byte order mark at the beginning and
comments are passed over, the data of an event may have several lines. More is borne: JSON without `data:` before it, as
gateways write an error into a stream that they have begun; events, of whole JSON, that no blank line ends.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

import orjson

from shared.errors import ProviderError
from workers.upstream.exchange import Exchange
from workers.upstream.faults import REFUSED_FROM
from workers.upstream.http import HttpClient
from workers.upstream.post import content, refusal

#: Bytes of one event, and of an answer that turns out to be no stream.
MOST_BYTES = 64 * 1024 * 1024
#: Bytes of what is no event that are kept, in case it is an error.
MOST_STRAY_BYTES = 64 * 1024
#: Bytes that are read again, in one event of several lines, to see whether they are whole JSON already.
MOST_LOOKED_BYTES = 1024 * 1024

EVENT_STREAM = "text/event-stream"
#: The name of an event that says nothing but that the connection lives: platform.claude.com/docs/…/streaming.
PING = "ping"

_BOM = b"\xef\xbb\xbf"
#: How an event of one line of data begins and ends as a rule.
_DATA, _END = b"data: ", b"\n\n"
_FIELDS = frozenset({b"data", b"event", b"id", b"retry", b""})


class NotStreamed(Exception):
    """The provider answered whole, as if it had not been asked to stream."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.content = content


@dataclass(slots=True)
class ServerSentEvent:
    """One event: its data, and its name if it has one. Not frozen: that doubles what making one costs."""

    data: bytes
    name: str = ""


class Followed(Protocol):
    """An answer in the making, as its protocol puts it together of events."""

    @property
    def begun(self) -> bool:
        """Some of it has come: a text, a thought, a call, an end."""

    @property
    def visible(self) -> bool:
        """Some of it has come that the caller sees."""

    @property
    def ended(self) -> bool:
        """All of it has come; what it used may still follow."""

    @property
    def stopped(self) -> bool:
        """Nothing that matters can follow."""

    def take(self, event: ServerSentEvent) -> None:
        """Take the next event; ProviderError when it is none of the protocol, or an error before the answer's end."""


async def follow(
    answer: Followed,
    client: HttpClient,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    exchange: Exchange,
    on_whole: Callable[[], None],
) -> None:
    """POST, and give an answer its events, until nothing can follow. What breaks after its end takes nothing back.

    `on_whole` is called when all of it has come. ProviderError; NotStreamed.
    """
    try:
        with exchange:
            async with aclosing(_parts(client, url, headers, body, exchange)) as coming:
                async for part in coming:
                    if _take(answer, part, exchange, on_whole):
                        return
    except ProviderError:
        if not answer.ended:
            raise


def _take(answer: Followed, part: Iterable[ServerSentEvent], exchange: Exchange, on_whole: Callable[[], None]) -> bool:
    """Give an answer the events that came together; whether nothing can follow."""
    for event in part:
        answer.take(event)
        if not exchange.passed_on:
            exchange.passed_on = answer.visible
        if not exchange.begun and answer.begun:
            exchange.begin()
        if answer.stopped:
            return True
        if answer.ended and event.name != PING:
            exchange.whole()
            on_whole()
    return False


def take_all(answer: Followed, given: Iterable[ServerSentEvent]) -> None:
    """Give an answer the events of a stream that has come at once."""
    for event in given:
        if answer.stopped:
            return
        answer.take(event)


async def events(
    client: HttpClient, url: str, headers: Mapping[str, str], body: bytes, exchange: Exchange
) -> AsyncGenerator[ServerSentEvent, None]:
    """POST, then each event until the answer ends, by whatever event the protocol ends with or none.

    An error status is a ProviderError; an answer of another type is NotStreamed; what breaks is left to `exchange`,
    in which the caller is. Close it (`contextlib.aclosing`) when you have had enough.
    """
    async with aclosing(_parts(client, url, headers, body, exchange)) as coming:
        async for part in coming:
            for event in part:
                yield event


async def _parts(
    client: HttpClient, url: str, headers: Mapping[str, str], body: bytes, exchange: Exchange
) -> AsyncGenerator[Iterator[ServerSentEvent], None]:
    """The same, events that the network brings together at once."""
    async with aclosing(await client.post(url, headers, body, exchange.silence_seconds, streamed=True)) as response:
        exchange.answered(response, url, headers)
        if response.status_code >= REFUSED_FROM:
            raise await refusal(response, exchange)
        if not response.headers.get("content-type", "").lower().startswith(EVENT_STREAM):
            raise NotStreamed(response.status_code, await content(response, exchange))
        parser = Parser()
        while (part := await response.piece()) is not None:
            exchange.alive(len(part))
            yield parser.feed(part)
        yield parser.end()


def are_events(content: bytes) -> bool:
    """Whether an answer that came whole is one of server-sent events, whatever its head says."""
    first = content[:1000].removeprefix(_BOM).lstrip()
    return first.startswith((b"data:", b"event:", b"id:", b"retry:", b":"))


def all_of(content: bytes) -> Iterator[ServerSentEvent]:
    """The events of an answer that came whole."""
    parser = Parser()
    yield from parser.feed(content)
    yield from parser.end()


class Parser:
    """Events out of bytes, cut anywhere."""

    def __init__(self) -> None:
        #: The line that has begun; a bytearray, which grows without being copied each time.
        self._rest = bytearray()
        self._first = True
        #: The last part ended in CR, whose LF may begin the next.
        self._after_cr = False
        self._data: list[bytes] = []
        self._length = self._looked = 0
        self._name = ""
        self._stray: list[bytes] = []
        self._stray_length = 0

    def feed(self, part: bytes) -> Iterator[ServerSentEvent]:
        """The events that a part ends."""
        if self._is_plain(part):
            for data in part[len(_DATA) : -len(_END)].split(_END + _DATA):
                yield ServerSentEvent(data)
            return
        if self._after_cr and part:
            self._after_cr = False
            part = part.removeprefix(b"\n")
        if b"\r" in part:
            self._after_cr = part.endswith(b"\r")
            part = part.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *lines = part.split(b"\n")
        self._rest += first
        if lines:
            lines.insert(0, bytes(self._rest))
            self._rest = bytearray(lines.pop())
        for line in lines:
            if event := self._line(line):
                yield event
        if len(self._rest) + self._length > MOST_BYTES:
            raise ProviderError("the provider's stream contains an event that is too large", code="protocol")

    def _is_plain(self, part: bytes) -> bool:
        """Whether a part is whole events of one line of data each and nothing else, as most are: quickly read."""
        if self._rest or self._data or self._name or self._first or self._after_cr or b"\r" in part:
            return False
        lines = part.startswith(_DATA) and part.endswith(_END) and part.count(b"\n")
        return bool(lines) and lines == 2 * (part.count(_END + _DATA) + 1)

    def end(self) -> Iterator[ServerSentEvent]:
        """A last event that is whole, though nothing ended it; or an error that is no event at all."""
        before = self._line(bytes(self._rest)) if self._rest else None
        for event in (before, self._event(), ServerSentEvent(b"\n".join(self._stray))):
            if event is not None and (_is_json(event.data) or event.data.strip() == b"[DONE]"):
                yield event

    def _line(self, line: bytes) -> ServerSentEvent | None:
        if self._first:
            self._first, line = False, line.removeprefix(_BOM)
        if not line:
            return self._event()
        name, _, value = line.partition(b":")
        if name == b"data":
            whole = self._event() if self._data and self._is_whole() else None
            self._data.append(value.removeprefix(b" "))
            self._length += len(line)
            return whole
        if name == b"event":
            self._name = value.strip().decode(errors="replace")
        elif name not in _FIELDS:
            self._keep(line)
        return None

    def _is_whole(self) -> bool:
        """The data so far are JSON, so what follows is of another event. Looked at so often only as costs little."""
        if len(self._data) > 1:
            self._looked += self._length
            if self._looked > MOST_LOOKED_BYTES:
                return False
        return _is_json(b"\n".join(self._data))

    def _event(self) -> ServerSentEvent | None:
        if not self._data:
            self._name = ""
            return None
        event = ServerSentEvent(b"\n".join(self._data), self._name)
        self._data, self._length, self._looked, self._name = [], 0, 0, ""
        return event

    def _keep(self, line: bytes) -> None:
        """A line that is no field: JSON as it stands is an event, the beginning of some is kept."""
        if not self._stray and _is_json(line):
            self._data.append(line)
            self._length += len(line)
        elif self._stray_length <= MOST_STRAY_BYTES:
            self._stray.append(line)
            self._stray_length += len(line)


def _is_json(text: bytes) -> bool:
    try:
        return isinstance(orjson.loads(text), dict | list)
    except orjson.JSONDecodeError:
        return False
