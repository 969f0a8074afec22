"""A streamed chat completion of the OpenAI protocol: passed on as it comes, and put together to the whole answer.

A stream is whole when every choice has its finish reason: `[DONE]` alone says only that the sender stopped (gateways
add it after an upstream that broke off), and some providers leave it out. Tool calls get an index and an id where a
provider gives none (Google's OpenAI-compatible endpoint).
"""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from shared import clock
from shared.errors import ProviderError
from shared.streams import part
from workers.event_stream import events
from workers.exchange import Exchange
from workers.providers import Ask

#: More choices or tool calls than any request asks for.
MOST_PARTS = 1000


async def stream(
    client: httpx.AsyncClient, url: httpx.URL, headers: dict[str, str], body: bytes, ask: Ask, exchange: Exchange
) -> Any:
    """The body that the call would have had unstreamed; or that of an error which came in the stream.

    Chunks go to the ask's sink as they come. ProviderError, or event_stream.NotStreamed, when there is no whole answer.
    """
    gathering = Gathering(ask)
    try:
        with exchange:
            async with aclosing(events(client, url, headers, body, exchange)) as coming:
                async for data in coming:
                    if data.strip() == b"[DONE]":
                        return gathering.body()
                    chunk = _read(data)
                    if chunk.get("error"):
                        return chunk
                    _take(gathering, chunk, exchange)
    except ProviderError:
        if not gathering.whole:
            raise
    if not gathering.whole:
        raise _broken_off()
    return gathering.body()


def _take(gathering: "Gathering", chunk: Mapping[str, Any], exchange: Exchange) -> None:
    gathering.take(chunk)
    if gathering.begun and not exchange.begun:
        exchange.told = True
        exchange.begin()
    if gathering.ended:
        exchange.whole()


def _broken_off() -> ProviderError:
    return ProviderError("the provider's stream ended before its answer did", upstream_status=200, code="protocol")


def _read(data: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        chunk = None
    if isinstance(chunk, list) and chunk:  # so does Google wrap its errors
        chunk = chunk[0]
    if not isinstance(chunk, dict):
        what = "an event of the provider's stream is not a JSON object"
        raise ProviderError(what, upstream_status=200, code="protocol")
    return chunk


@dataclass(slots=True)
class _Call:
    """A tool call in the making; `number`: its place among them, `told`: its name has been sent."""

    id: str
    number: int
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    told: bool = False
    held: str = ""


@dataclass(slots=True)
class _Choice:
    """An answer in the making."""

    content: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    #: By the index that the provider gives them.
    calls: dict[int, _Call] = field(default_factory=dict)
    likely: dict[str, list[Any]] = field(default_factory=dict)
    finish: str | None = None
    told: bool = False


class Gathering:
    """Puts the chunks of one call together; `send` of the ask's sink gets what is visible of them."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._head = {
            "id": f"chatcmpl-{ask.job_id.removeprefix('job_')}",
            "created": clock.now_seconds(),
            "model": ask.offer.model,
        }
        self._choices: dict[int, _Choice] = {}
        self._usage: Any = None
        #: Some of the answer has come: a text, a thought, a tool call, an end; not the role alone.
        self.begun = False
        #: The end of the last choice has come.
        self.ended = False

    @property
    def whole(self) -> bool:
        """Every choice that was asked for has been given to its end."""
        ended = [choice.finish is not None for choice in self._choices.values()]
        return all(ended) and len(ended) >= self._ask.request.get("n", 1)

    def take(self, chunk: Mapping[str, Any]) -> None:
        """Take the next chunk; ProviderError when it is none of this protocol."""
        try:
            self._usage = chunk.get("usage") or self._usage
            for given in chunk.get("choices") or ():
                self._take(given)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = f"an event of the provider's stream is not what its protocol promises ({type(error).__name__})"
            raise ProviderError(what, upstream_status=200, code="protocol") from None

    def body(self) -> dict[str, Any]:
        """The whole answer; ProviderError when the stream ended without the end of one of its choices."""
        choices = sorted(self._choices.items())
        if any(choice.finish is None for _, choice in choices):
            raise _broken_off()
        whole = [_whole(index, choice) for index, choice in choices]
        return {"created": self._head["created"], "choices": whole, "usage": self._usage}

    def _take(self, given: Mapping[str, Any]) -> None:
        index = int(given.get("index") or 0)
        choice = self._choices.setdefault(index, _Choice())
        if not 0 <= index < MOST_PARTS:
            raise ValueError("index out of range")
        delta = given.get("delta") or {}
        visible = self._texts(choice, delta)
        calls = [told for call in delta.get("tool_calls") or () if (told := self._call(index, choice, call))]
        if calls:
            visible["tool_calls"] = calls
        logprobs = _likely(choice, given.get("logprobs"))
        ending = _finish(given.get("finish_reason")) if choice.finish is None else None
        choice.finish = choice.finish or ending
        self.ended = self.ended or (bool(ending) and self.whole)
        self.begun = self.begun or bool(visible or delta.get("tool_calls") or ending or _thought(delta))
        if visible or logprobs or (ending and self._began):
            self._send(index, choice, visible, logprobs, ending)

    @property
    def _began(self) -> bool:
        return self._ask.sink is not None and self._ask.sink.began

    def _texts(self, choice: _Choice, delta: Mapping[str, Any]) -> dict[str, Any]:
        visible: dict[str, Any] = {}
        for name, kept in (("content", choice.content), ("refusal", choice.refusal)):
            if text := delta.get(name):
                if not isinstance(text, str):
                    raise TypeError(name)
                kept.append(text)
                visible[name] = text
        return visible

    def _call(self, index: int, choice: _Choice, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """Take a piece of a tool call; what of it can be sent, which begins with its name."""
        function = given.get("function") or {}
        at = _place(choice, given)
        call = choice.calls.get(at)
        if call is None:
            number = len(choice.calls)
            id = given.get("id") or f"call_{self._ask.job_id.removeprefix('job_')}_{index}_{number}"
            call = choice.calls[at] = _Call(str(id), number)
        call.name = call.name or str(function.get("name") or "")
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):
            raise TypeError("arguments")
        call.arguments.append(arguments)
        call.held += arguments
        if not call.name or (call.told and not arguments):
            return None
        held, call.held = call.held, ""
        if call.told:
            return {"index": call.number, "function": {"arguments": held}}
        call.told = True
        function = {"name": call.name, "arguments": held}
        return {"index": call.number, "id": call.id, "type": "function", "function": function}

    def _send(self, index: int, choice: _Choice, visible: dict[str, Any], logprobs: Any, ending: str | None) -> None:
        if self._ask.sink is None:
            return
        pieces = []
        if not choice.told:
            choice.told = True
            pieces.append(part(index, {"role": "assistant", "content": "" if "content" in visible else None}))
        if visible or logprobs:
            pieces.append(part(index, visible, logprobs=logprobs))
        if ending:
            pieces.append(part(index, {}, ending))
        self._ask.sink.send(self._head, pieces)


def _thought(delta: Mapping[str, Any]) -> bool:
    """Whether a piece holds some reasoning, under whichever of the names that providers give it."""
    return bool(delta.get("reasoning_content") or delta.get("reasoning"))


def _place(choice: _Choice, given: Mapping[str, Any]) -> int:
    """Which of a choice's tool calls a piece belongs to: without an index, a new id begins the next."""
    number = given.get("index")
    if number is None:
        last = max(choice.calls, default=-1)
        begins = last < 0 or (given.get("id") and given["id"] != choice.calls[last].id)
        number = last + 1 if begins else last
    if not isinstance(number, int) or not 0 <= number < MOST_PARTS:
        raise ValueError("index")
    return number


def _likely(choice: _Choice, given: Any) -> dict[str, list[Any]] | None:
    """Take a piece's logprobs; as they are sent on."""
    found = {name: list(given[name]) for name in ("content", "refusal") if given.get(name)} if given else {}
    for name, tokens in found.items():
        choice.likely.setdefault(name, []).extend(tokens)
    return found or None


def _finish(reason: Any) -> str | None:
    if reason is not None and not isinstance(reason, str):
        raise TypeError("finish_reason")
    return reason or None


def _whole(index: int, choice: _Choice) -> dict[str, Any]:
    """A choice as an unstreamed answer has it."""
    refusal = "".join(choice.refusal) or None
    content = "".join(choice.content) or (None if refusal or choice.calls else "")
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
    if choice.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": "".join(call.arguments)}}
            for call in choice.calls.values()
        ]
    likely = {name: choice.likely.get(name) for name in ("content", "refusal")} if choice.likely else None
    return {"index": index, "message": message, "logprobs": likely, "finish_reason": choice.finish}
