"""How a streamed answer travels through Redis: its key, the ids of its entries, and how much of it has been sent.

A job's stream is the Redis stream `key(job_id)`; each entry holds one `chat.completion.chunk` as JSON. Its id is
`<lease epoch>-<count from 1>`, so Redis itself refuses a stale worker's entry and one sent twice, a reader who starts
at an epoch sees nothing older, and a number left out says that chunks were lost. Whatever is lost is completed from
the stored result: `rest` says what is left of it after what a reader has had.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.answers.beside import BESIDE, IMAGES, NATIVE, REDACTED, SIGNATURE, SIGNED, STOPPED_AT
from shared.errors import InvalidRequest

#: Pub/sub: ids of jobs whose streams have new entries.
NEW_ENTRIES = "fusionai.news"
#: The field of an entry.
FIELD = b"c"
#: The count in the ids of chunks made from the stored result: after every entry.
FROM_RESULT = 2**53

#: How much of one part of the answer had been sent; a comma stands between two, so that there is one way to read them.
_SENT = r"[0-9]{1,3}(?:[cgrlmf]|t[0-9]{1,4})=[0-9]{1,12}"
_EVENT_ID = re.compile(rf"([1-9][0-9]{{0,15}})-([0-9]{{1,16}})/((?:{_SENT}(?:,{_SENT})*)?)")
#: Characters of a Last-Event-ID: 128 choices at once with 24 tool calls each, and within the bound of a request's head.
_MOST_EVENT_ID = 49_152
#: By so many last characters of its job's id an event is told from another job's.
_MARK = 8


def key(job_id: str) -> str:
    """The Redis key of a job's stream."""
    return f"fusionai.stream:{job_id}"


def chunk(head: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A `chat.completion.chunk`; `head` is its answer, or an earlier chunk: all that share id, created and model."""
    made = {
        "id": head["id"],
        "object": "chat.completion.chunk",
        "created": head["created"],
        "model": head["model"],
        "choices": list(choices),
    }
    return {**made, "cached": True} if "cached" in head else made


def part(index: int, delta: Mapping[str, Any], finish: str | None = None, logprobs: Any = None) -> dict[str, Any]:
    """One choice of a chunk."""
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def ending(message: Mapping[str, Any]) -> dict[str, Any]:
    """What of a whole message is in the delta that has its finish reason."""
    return {name: message[name] for name in (SIGNED, IMAGES, BESIDE) if message.get(name)}


def stopped(choice: Mapping[str, Any]) -> dict[str, Any]:
    """What of a whole choice is in the part that has its finish reason."""
    return {name: choice[name] for name in (STOPPED_AT, NATIVE) if choice.get(name)}


#: The texts of a message, and their letters.
_TEXTS = (("g", "reasoning_content"), ("c", "content"), ("r", "refusal"))


@dataclass(slots=True)
class StreamProgress:
    """How much of an answer has been sent: by choice and part of it, in characters or, of logprobs, in tokens.

    Parts: `0g` reasoning, `0c` content, `0r` refusal, `0t2` arguments of the tool call 2, `0l` and `0m` logprobs of
    content and refusal, `0f` the finish reason. A choice that has any has had its role, a tool call its name.
    """

    sent: dict[str, int] = field(default_factory=dict)
    #: Signatures of thoughts; not in the ids of events, so a reader who comes back may get the last one again.
    signed: int = field(default=0, compare=False)

    def advance(self, choices: Sequence[Mapping[str, Any]]) -> None:
        """Count a chunk's choices."""
        for choice in choices:
            index, delta = choice["index"], choice["delta"]
            for letter, name in _TEXTS:
                if (text := delta.get(name)) is not None:
                    self._add(f"{index}{letter}", len(text))
            self.signed += (SIGNATURE in delta) + (REDACTED in delta)
            for call in delta.get("tool_calls") or ():
                self._add(f"{index}t{call['index']}", len(call["function"].get("arguments") or ""))
            for letter, name in (("l", "content"), ("m", "refusal")):
                if tokens := (choice.get("logprobs") or {}).get(name):
                    self._add(f"{index}{letter}", len(tokens))
            if "role" in delta:
                self._add(f"{index}c", 0)
            if choice.get("finish_reason"):
                self._finish(index)

    def _finish(self, index: int) -> None:
        """Of a choice that has ended nothing is left to send: its parts need not be in the ids any more."""
        for name in [name for name in self.sent if _is_of(index, name)]:
            del self.sent[name]
        self._add(f"{index}f", 1)

    def _add(self, name: str, count: int) -> None:
        self.sent[name] = self.sent.get(name, 0) + count

    def __str__(self) -> str:
        return ",".join(f"{name}={count}" for name, count in self.sent.items())


@dataclass(frozen=True, slots=True)
class EventId:
    """Where in a job's stream an event stands: epoch, entry, and how much of the answer had been sent with it."""

    job_id: str
    epoch: int
    count: int
    progress: StreamProgress

    def __str__(self) -> str:
        return f"{self.job_id[-_MARK:]}-{self.epoch}-{self.count}/{self.progress}"


def read_event_id(text: str, job_id: str) -> EventId:
    """The Last-Event-ID of a reader who comes back to a job; 400 when it is none of that job's."""
    mark = f"{job_id[-_MARK:]}-"
    ours = text.startswith(mark) and len(text) <= _MOST_EVENT_ID
    found = _EVENT_ID.fullmatch(text, len(mark)) if ours else None
    if found is None or int(found[2]) > FROM_RESULT:
        raise InvalidRequest("Last-Event-ID does not match an event of this stream", param="Last-Event-ID")
    pairs = (pair.split("=") for pair in found[3].split(",") if pair)
    progress = StreamProgress({name: int(count) for name, count in pairs})
    return EventId(job_id, int(found[1]), int(found[2]), progress)


def rest(choices: Sequence[Mapping[str, Any]], progress: StreamProgress) -> Iterator[list[dict[str, Any]]]:
    """What is left of a whole answer's choices after what has been sent, as the choices of the chunks still to send."""
    for choice in choices:
        for piece in _left(choice, dict(progress.sent), progress.signed):
            yield [piece]


def _left(choice: Mapping[str, Any], sent: Mapping[str, int], signed: int) -> Iterator[dict[str, Any]]:
    index, message = choice["index"], choice["message"]
    if f"{index}f" in sent:
        return
    if not any(_is_of(index, name) for name in sent):
        spoken = "" if message.get("content") is not None else None
        yield part(index, {"role": "assistant", "content": spoken})
    blocks = () if _spoke(index, sent) else message.get(SIGNED) or ()
    for thought in _thoughts(message.get("reasoning_content") or "", blocks, sent.get(f"{index}g", 0), signed):
        yield part(index, thought)
    for letter, name, tokens in (("c", "content", "l"), ("r", "refusal", "m")):
        text = (message.get(name) or "")[sent.get(f"{index}{letter}", 0) :]
        likely = ((choice.get("logprobs") or {}).get(name) or [])[sent.get(f"{index}{tokens}", 0) :]
        if text or likely:
            yield part(index, {name: text}, logprobs={name: likely} if likely else None)
    for number, call in enumerate(message.get("tool_calls") or ()):
        if (delta := _left_call(number, call, sent.get(f"{index}t{number}"))) is not None:
            yield part(index, {"tool_calls": [delta]})
    yield part(index, ending(message), choice["finish_reason"]) | stopped(choice)


def _spoke(index: int, sent: Mapping[str, int]) -> bool:
    """Whether something that follows the thoughts has been sent: their signatures have as well."""
    return bool(sent.get(f"{index}c") or sent.get(f"{index}r")) or any(name.startswith(f"{index}t") for name in sent)


def _thoughts(reasoning: str, blocks: Sequence[Mapping[str, Any]], sent: int, signed: int) -> Iterator[dict[str, Any]]:
    """What is left of the thoughts, each signed one followed by its signature.

    `sent`: characters of all of them; `signed`: signatures.
    """
    end = 0
    for at, block in enumerate(blocks):
        text = block.get("thinking") or ""
        if piece := text[max(sent - end, 0) :]:
            yield {"reasoning_content": piece}
        end += len(text)
        if at >= signed and end >= sent:
            secret = block["type"] == "redacted_thinking"
            yield {REDACTED: block["data"]} if secret else {SIGNATURE: block["signature"]}
    if piece := reasoning[max(sent, end) :]:
        yield {"reasoning_content": piece}


def _is_of(index: int, name: str) -> bool:
    """Whether a part of the answer is one of this choice, `1c` and `1t0` of the choice 1, and not of 10.

    >>> _is_of(1, "1t0"), _is_of(1, "10c"), _is_of(1, "2c")
    (True, False, False)
    """
    rest = name.removeprefix(str(index))
    return rest != name and not rest[:1].isdigit()


def _left_call(number: int, call: Mapping[str, Any], sent: int | None) -> dict[str, Any] | None:
    function = call["function"]
    arguments = (function.get("arguments") or "")[sent or 0 :]
    if sent is None:
        whole = {"name": function["name"], "arguments": arguments}
        beside = {BESIDE: call[BESIDE]} if call.get(BESIDE) else {}
        return {"index": number, "id": call.get("id"), "type": "function", "function": whole, **beside}
    return {"index": number, "function": {"arguments": arguments}} if arguments else None
