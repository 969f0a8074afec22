"""A streamed answer of the Messages API: passed on as it comes, and put together to the whole.

Source: platform.claude.com/docs/en/build-with-claude/streaming. An answer is whole when its `message_delta` has said
why it ended, which only `message_stop` follows; what breaks off before is an error, what goes wrong after takes
nothing back. Usage is cumulative: what is said later counts, but for a later zero. Events and deltas that are not known
are passed over, as the page asks of clients.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from shared import clock
from shared.answers.beside import REDACTED, SIGNATURE
from shared.answers.streams import ending, part, stopped
from shared.errors import ProviderError
from shared.submissions.schemas import Usage
from workers.answers import results
from workers.answers.reading import loads
from workers.answers.shape import lacking, place, wrong
from workers.providers import ProviderCall
from workers.providers.anthropic import answers
from workers.providers.anthropic.thoughts import TYPES, placed, signed
from workers.providers.anthropic.usage import used
from workers.upstream.event_stream import ServerSentEvent, follow, take_all
from workers.upstream.exchange import Exchange
from workers.upstream.http import HttpClient

#: The texts of deltas, by their type: where they stand, and what they are in a canonical delta.
_TEXTS: Final = {"text_delta": ("text", "content"), "thinking_delta": ("thinking", "reasoning_content")}


async def stream(
    client: HttpClient,
    url: str,
    headers: dict[str, str],
    body: bytes,
    call: ProviderCall,
    exchange: Exchange,
) -> tuple[dict[str, Any], Usage]:
    """The whole answer, and what was used, of which each piece has gone to the call's sink.

    ProviderError, or event_stream.NotStreamed, when there is no whole answer.
    """
    message = StreamedMessage(call)
    await follow(message, client, url, headers, body, exchange, call.on_whole)
    return message.whole()


def of_events(call: ProviderCall, given: Iterable[ServerSentEvent]) -> tuple[dict[str, Any], Usage]:
    """The answer and its usage, of a stream that was read whole before."""
    message = StreamedMessage(call)
    take_all(message, given)
    return message.whole()


class StreamedMessage:
    """Puts the events of one answer together; the call's sink gets what is visible of them."""

    def __init__(self, call: ProviderCall) -> None:
        self._call = call
        self._created = clock.now_seconds()
        self._head = {"id": results.completion_id(call.job_id), "created": self._created, "model": call.offer.model}
        self._choice = answers.choice(call)
        #: Thoughts by the index of their block, with the pieces of their text, and after how many characters of the
        #: answer's text and how many calls they came; of calls of tools, which call it is.
        self._thoughts: dict[int, tuple[dict[str, Any], list[str], tuple[int, int]]] = {}
        self._characters = 0
        self._calls: dict[int, int] = {}
        self._called = 0
        #: Signatures of thoughts, and thoughts that are kept secret: passed on with what comes after them, because
        #: they alone are no reason not to ask again.
        self._proofs: list[dict[str, str]] = []
        self._usage: dict[str, Any] = {}
        self._sent = False
        #: Some of the answer has come: a text, a thought, a call, an end; and some that the caller sees.
        self.begun = self.visible = False
        #: Nothing of the answer is to come; nothing at all.
        self.ended = self.stopped = False

    def take(self, event: ServerSentEvent) -> None:
        """Take the next event; ProviderError when it is an error, or none of this protocol."""
        if not event.data.strip():
            return
        try:
            self._take(_read(event))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise lacking(error, "stream") from None

    def whole(self) -> tuple[dict[str, Any], Usage]:
        """The answer and what was used; ProviderError when the stream ended before it."""
        if not self.ended:
            raise ProviderError(
                "the provider's stream ended before the response was complete", upstream_status=200, code="protocol"
            )
        thoughts = (self._thoughts[index] for index in sorted(self._thoughts))
        for block, pieces, position in thoughts:
            self._choice.sign([placed(one, *position) for one in signed([{**block, "thinking": "".join(pieces)}])])
        if left := self._choice.close():
            self._send({"tool_calls": left})
        shown = self._choice.shown()
        if self._call.sink is not None and self._call.sink.began:
            self._send(ending(shown["message"]), shown["finish_reason"], stopped(shown))
        return answers.result(self._call, self._choice, used(self._usage), self._created)

    def _take(self, event: Mapping[str, Any]) -> None:
        match event.get("type"):
            case "error" if not self.ended:
                raise answers.failure(event)
            case "message_start":
                self._count(_before(event.get("message")))
            case "content_block_start":
                self._start(_place(event), event["content_block"])
            case "content_block_delta":
                self._add(_place(event), event["delta"])
            case "message_delta":
                self._end(event)
            case "message_stop":
                self.stopped = True

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            known = self._usage
            known.update((name, value) for name, value in usage.items() if value or name not in known)

    def _start(self, index: int, block: Mapping[str, Any]) -> None:
        kind = block["type"]
        if kind in TYPES:
            self._thoughts[index] = (dict(block), [], (self._characters, self._called))
            if isinstance(secret := block.get("data"), str):
                self._proofs.append({REDACTED: secret})
            self.begun = True  # a thought that is not shown may take long
        if kind == "tool_use":
            number = self._calls[index] = self._called
            self._called += 1
            self._pass_on({"tool_calls": [answers.called(number, block, block.get("input") or "")]})
        elif kind in ("text", "thinking"):
            self._say(index, f"{kind}_delta", block)

    def _add(self, index: int, delta: Mapping[str, Any]) -> None:
        kind = delta.get("type")
        if kind in _TEXTS:
            self._say(index, kind, delta)
        elif kind == "signature_delta":
            self._thoughts[index][0]["signature"] = delta["signature"]
            if isinstance(delta["signature"], str):
                self._proofs.append({SIGNATURE: delta["signature"]})
        elif kind == "input_json_delta" and index in self._calls:
            piece = {"index": self._calls[index], "function": {"arguments": delta["partial_json"]}}
            self._pass_on({"tool_calls": [piece]})

    def _say(self, index: int, kind: str, given: Mapping[str, Any]) -> None:
        name, canonical = _TEXTS[kind]
        if not isinstance(said := given.get(name), str):
            raise wrong(f"content[{index}].{name}", "is not a string")
        if name == "thinking":
            self._thoughts[index][1].append(said)
        else:
            self._characters += len(said)
        if said:
            self._pass_on({canonical: said})

    def _end(self, event: Mapping[str, Any]) -> None:
        self._count(event.get("usage"))
        if explained := answers.refusal(event["delta"]):
            self._pass_on({"refusal": explained})
        if answers.end(self._choice, event["delta"]):
            self.ended = self.begun = self.visible = True

    def _pass_on(self, delta: Mapping[str, Any]) -> None:
        self.begun = self.visible = True
        if visible := self._choice.take(delta):
            self._send(visible)

    def _send(self, visible: dict[str, Any], finish: str | None = None, beside: Mapping[str, Any] = {}) -> None:
        if self._call.sink is None:
            return
        pieces = []
        if not self._sent:
            self._sent = True
            pieces.append(part(0, {"role": "assistant", "content": "" if "content" in visible else None}))
        pieces += [part(0, proof) for proof in self._proofs]
        self._proofs.clear()
        pieces.append({**part(0, visible, finish), **beside})
        self._call.sink.send(self._head, pieces)


def _before(message: Any) -> Any:
    """The usage of a message that begins: what was asked. Its count of output is of the first token alone."""
    usage = message.get("usage") if isinstance(message, dict) else None
    return {**usage, "output_tokens": None} if isinstance(usage, dict) else None


def _place(event: Mapping[str, Any]) -> int:
    """Which block an event is about."""
    if (index := place(event.get("index"), "index")) is None:
        raise wrong("index", "is missing")
    return index


def _read(event: ServerSentEvent) -> Mapping[str, Any]:
    try:
        found = loads(event.data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        what = "the provider's stream contains an event that is not a JSON object"
        raise ProviderError(what, upstream_status=200, code="protocol")
    return {**found, "type": found.get("type") or event.name}
