"""The parts of a streamed response: reasoning, the message's text and refusal, calls; each makes its numbered events.

Source: openai-python, `openai.types.responses.response_stream_event`.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from producer.dialects.responses.pieces import Pieces
from producer.waiting.framing import event
from shared.dialects.responses import items
from shared.dialects.responses.objects import ItemStatus
from shared.dialects.responses.sealing import Gathered


class Numbered:
    """Makes the events: each has its name and number."""

    def __init__(self, after: int = -1) -> None:
        self._after = after
        self._next = 0

    def event(self, type: str, **fields: Any) -> bytes:
        """One event; nothing, where the reader has had it."""
        number, self._next = self._next, self._next + 1
        if number <= self._after:
            return b""
        return event(orjson.dumps({"type": type, **fields, "sequence_number": number}), name=type)


class StreamedPart:
    """A text of an answer that is being streamed: of the reasoning, the message, its refusal, or a call's arguments."""

    #: The name of its events, and of the text in the last one.
    name = ""
    field = "text"

    def __init__(self, events: Numbered, item: Mapping[str, Any], index: int) -> None:
        self.events = events
        self.item = item
        self.index = index
        self._texts: list[str] = []
        self.over = False
        #: What else is in its events, and in the last of them.
        self.beside: dict[str, Any] = {}
        self.beside_whole: dict[str, Any] = {}
        self._pieces = Pieces()

    @property
    def text(self) -> str:
        """What of it has come."""
        return "".join(self._texts)

    def place(self) -> dict[str, Any]:
        """Where its events belong."""
        return {"item_id": self.item["id"], "output_index": self.index}

    def open(self) -> bytes:
        """The item begins."""
        return self.events.event("response.output_item.added", output_index=self.index, item=self.item)

    def add(self, text: str) -> bytes:
        """More of it."""
        self._texts.append(text)
        return b"".join(self._delta(piece) for piece in self._pieces.add(text))

    def close(self, status: ItemStatus = "completed") -> bytes:
        """The rest of it, and its end; `status`: of its item, where that ends with it."""
        self.over = True
        rest = b"".join(self._delta(piece) for piece in self._pieces.end())
        whole = {self.field: self.text, **self.beside, **self.beside_whole}
        return rest + self.events.event(f"{self.name}.done", **self.place(), **whole)

    def _delta(self, piece: str) -> bytes:
        return self.events.event(f"{self.name}.delta", **self.place(), delta=piece, **self.beside)

    def done(self, item: Mapping[str, Any]) -> bytes:
        """The item is whole."""
        return self.events.event("response.output_item.done", output_index=self.index, item=item)


class StreamedArguments(StreamedPart):
    """A function call."""

    name = "response.function_call_arguments"
    field = "arguments"

    def __init__(self, events: Numbered, item: Mapping[str, Any], index: int) -> None:
        super().__init__(events, item, index)
        self.beside_whole = {"name": item["name"]}

    def close(self, status: ItemStatus = "completed") -> bytes:
        return super().close() + self.done({**self.item, "status": status, "arguments": self.text})


class Thoughts(StreamedPart):
    """The reasoning, or the summary that was asked for in its place."""

    def __init__(self, events: Numbered, core: str, index: int, *, summary: bool) -> None:
        super().__init__(events, items.reasoning(core, None, summary=summary, status="in_progress"), index)
        self._core, self._summary = core, summary
        #: What of it the provider has signed, where its `encrypted_content` is asked for.
        self.gathered: Gathered | None = None
        self.name = "response.reasoning_summary_text" if summary else "response.reasoning_text"
        self._part = "response.reasoning_summary_part" if summary else "response.content_part"

    def place(self) -> dict[str, Any]:
        return super().place() | {"summary_index" if self._summary else "content_index": 0}

    def open(self) -> bytes:
        part = items.reasoning_part("", summary=self._summary)
        return super().open() + self.events.event(f"{self._part}.added", **self.place(), part=part)

    def close(self, status: ItemStatus = "completed") -> bytes:
        ended = super().close()
        part = items.reasoning_part(self.text, summary=self._summary)
        ended += self.events.event(f"{self._part}.done", **self.place(), part=part)
        sealed = self.gathered.sealed(self.text) if self.gathered else None
        return ended + self.done(
            items.reasoning(self._core, self.text, summary=self._summary, status=status, sealed=sealed)
        )


class MessagePart(StreamedPart):
    """A part of the message: its text, or its refusal. The message begins before its first, and ends with its last."""

    def __init__(self, events: Numbered, item: Mapping[str, Any], index: int, number: int, *, refusal: bool) -> None:
        super().__init__(events, item, index)
        self._number, self._refusal = number, refusal
        self.name = "response.refusal" if refusal else "response.output_text"
        self.field = "refusal" if refusal else "text"
        self.beside = {} if refusal else {"logprobs": []}
        #: Of the message's first part: the message has ended.
        self.closed = False

    def place(self) -> dict[str, Any]:
        return super().place() | {"content_index": self._number}

    def part(self) -> Any:
        """As it is so far."""
        return items.refusal_part(self.text) if self._refusal else items.text_part(self.text)

    def open(self) -> bytes:
        begun = super().open() if self._number == 0 else b""
        return begun + self.events.event("response.content_part.added", **self.place(), part=self.part())

    def close(self, status: ItemStatus = "completed") -> bytes:
        return super().close() + self.events.event("response.content_part.done", **self.place(), part=self.part())
