"""A stream as OpenAI's typed events of a response, numbered from 0; those up to `starting_after` are left out.

Source: openai-python, `openai.types.responses.response_stream_event`. Texts are cut by `pieces`, so the same answer has
the same events with the same numbers whether it is read as it comes or made of the stored result. A text or reasoning
that goes on after something else began is in the last event, which has the whole response, alone.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from producer.dialects.responses.stream_parts import MessagePart, Numbered, StreamedArguments, StreamedPart, Thoughts
from producer.waiting.framing import BrokenStream
from shared.dialects.responses import items
from shared.dialects.responses.objects import ImageCall, ItemStatus, Response
from shared.dialects.responses.sealing import Gathered
from shared.errors import Unavailable

_LAST: Final = {"completed": "response.completed", "incomplete": "response.incomplete"}
#: Finish reasons of an answer that is not whole.
_CUT: Final = ("length", "content_filter")


class ResponseEvents:
    """A framing. `begun`: the response before its answer. The last event is `last`, made of the stored response."""

    media_type = "text/event-stream"
    keeps_thoughts = False

    def __init__(self, begun: Response, *, starting_after: int = -1, seals: bool = False) -> None:
        self._begun: Response | None = begun
        self._core = begun["id"].removeprefix("resp_")
        #: Of the thoughts, where their `encrypted_content` is asked for.
        self._gathered = Gathered() if seals else None
        self._summary = begun["reasoning"]["summary"] is not None
        self._events = Numbered(starting_after)
        #: In the order in which they began: `reasoning`, `content`, `refusal`, and the numbers of calls.
        self._parts: dict[str | int, StreamedPart] = {}
        self._current: StreamedPart | None = None
        self._indexes = self._pictures = 0
        self._finish: str | None = None
        #: What ended the stream without the rest.
        self.fault: BrokenStream | None = None

    def chunk(self, chunk: bytes, event_id: str | None) -> bytes:
        """The events of a chunk."""
        frames = self.head()
        for choice in orjson.loads(chunk)["choices"]:
            if choice["index"] == 0:
                frames += self._delta(choice["delta"])
                self._finish = choice.get("finish_reason") or self._finish
        return frames

    def end(self) -> bytes:
        """All items end."""
        frames = self.head()
        if not self._pictures and not any(name != "reasoning" for name in self._parts):
            frames += self._to("content")
        status: ItemStatus = "incomplete" if self._finish in _CUT else "completed"
        last = self._indexes - 1
        for part in list(self._parts.values()):
            if not part.over:
                own = status if part.index == last else "completed"
                frames += self._close_message(own) if isinstance(part, MessagePart) else part.close(own)
        return frames

    def error(self, fault: BrokenStream) -> bytes:
        """What the last event says is asked of the rows."""
        self.fault = fault
        return self.head()

    def comment(self) -> bytes:
        """One newline, as no blank line ends an event; before anything else, that the response has begun."""
        return self.head() or b": keep-alive\n"

    def head(self) -> bytes:
        """The first two events, once."""
        begun, self._begun = self._begun, None
        if begun is None:
            return b""
        started = [self._events.event(f"response.{what}", response=begun) for what in ("created", "in_progress")]
        return b"".join(started)

    def last(self, whole: Response) -> bytes:
        """The event that ends the stream: the stored response as it is, or why it will come no further here."""
        if whole["status"] in ("queued", "in_progress"):
            assert self.fault is not None
            error = self.fault.error
            return self._events.event("error", code=error.type, message=self.fault.message, param=error.param)
        return self._events.event(_LAST.get(whole["status"], "response.failed"), response=whole)

    def lost(self) -> bytes:
        """The event that ends the stream where the stored response cannot be read."""
        said = "the database is unavailable; retrieve the response later"
        return self._events.event("error", code=Unavailable.type, message=said, param=None)

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        frames = b""
        for field, name in (("reasoning_content", "reasoning"), ("content", "content"), ("refusal", "refusal")):
            if text := delta.get(field):
                frames += self._add(name, text)
            if name == "reasoning":
                frames += self._sign(delta)
        for call in delta.get("tool_calls") or ():
            frames += self._add(call["index"], call["function"].get("arguments") or "", call)
        return frames + b"".join(map(self._picture, items.images(delta, self._core)))

    def _picture(self, made: ImageCall) -> bytes:
        """A picture, which comes whole: its item begins and ends."""
        number, self._pictures = self._pictures, self._pictures + 1
        frames, index = self._close_current("picture"), self._index()
        begun = items.image_call(self._core, number, None, "in_progress")
        frames += self._events.event("response.output_item.added", output_index=index, item=begun)
        name = "response.image_generation_call.completed"
        frames += self._events.event(name, item_id=made["id"], output_index=index)
        return frames + self._events.event("response.output_item.done", output_index=index, item=made)

    def _sign(self, delta: Mapping[str, Any]) -> bytes:
        """Take what the provider has signed; where no thought is shown, an empty one has it."""
        if self._gathered is None or not self._gathered.is_signed(delta):
            return b""
        thoughts = self._parts.get("reasoning")
        self._gathered.take(delta, thoughts.text if thoughts else "")
        calls = delta.get("tool_calls") and not any(isinstance(name, int) for name in self._parts)
        return self._add("reasoning", "") if thoughts is None and (calls or not self._parts) else b""

    def _add(self, name: str | int, text: str, call: Mapping[str, Any] | None = None) -> bytes:
        known = self._parts.get(name)
        late = name in ("content", "refusal") and any(
            isinstance(one, MessagePart) and one.closed for one in self._parts.values()
        )
        if late or (known is not None and known.over):
            return b""
        return self._to(name, call) + self._parts[name].add(text)

    def _to(self, name: str | int, call: Mapping[str, Any] | None = None) -> bytes:
        """Go on with this part; it begins, where it is new, and the one before ends."""
        part = self._parts.get(name)
        if part is not None:
            self._current = part
            return b""
        frames = self._close_current(name)
        self._current = self._parts[name] = part = self._new(name, call)
        return frames + part.open()

    def _close_current(self, next: str | int) -> bytes:
        """A call whose arguments are not whole may go on after another has begun."""
        part = self._current
        if part is None or part.over or (isinstance(part, StreamedArguments) and not _is_json(part.text)):
            return b""
        if isinstance(part, MessagePart):
            return part.close() if next in ("content", "refusal") else self._close_message()
        return part.close()

    def _close_message(self, status: ItemStatus = "completed") -> bytes:
        """Its last part, and the message."""
        said = [part for part in self._parts.values() if isinstance(part, MessagePart)]
        frames = b"".join(part.close() for part in said if not part.over)
        said[0].closed = True
        return frames + said[0].done(items.spoken(self._core, [part.part() for part in said], status))

    def _new(self, name: str | int, call: Mapping[str, Any] | None) -> StreamedPart:
        if name in ("content", "refusal"):
            said = [part for part in self._parts.values() if isinstance(part, MessagePart)]
            index = said[0].index if said else self._index()
            item = items.spoken(self._core, [], "in_progress")
            return MessagePart(self._events, item, index, len(said), refusal=name == "refusal")
        if isinstance(name, str):
            thoughts = Thoughts(self._events, self._core, self._index(), summary=self._summary)
            thoughts.gathered = self._gathered
            return thoughts
        assert call is not None
        function = call["function"]
        wanted = items.function_call(self._core, name, call["id"], function["name"], "", "in_progress")
        return StreamedArguments(self._events, wanted, self._index())

    def _index(self) -> int:
        self._indexes += 1
        return self._indexes - 1


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True
