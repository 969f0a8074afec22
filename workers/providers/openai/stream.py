"""A streamed chat completion of the OpenAI protocol: passed on as it comes, and put together to the whole answer.

A stream is whole when every choice has its finish reason: `[DONE]` alone says only that the sender stopped (gateways
add it after an upstream that broke off), and some providers leave it out. An error after the finish reasons
takes nothing back. What is passed on adds up to the whole: what may still turn out otherwise (`workers.answers`) is
held back, and the finish reasons are passed on last.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from shared import clock
from shared.answers.streams import part
from shared.errors import ProviderError
from shared.submissions.schemas import Usage
from workers.answers import estimates, reported, results
from workers.answers.choice import ChoiceBuilder
from workers.answers.reading import loads
from workers.answers.shape import lacking, place, wrong
from workers.providers import ProviderCall
from workers.providers.openai.answers import choice, wanted
from workers.upstream.event_stream import ServerSentEvent, follow, take_all
from workers.upstream.exchange import Exchange
from workers.upstream.http import HttpClient


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """What a stream added up to: choices in the canonical shape, and the usage that it reported."""

    choices: list[dict[str, Any]]
    usage: Usage | None
    created: int


async def stream(
    client: HttpClient,
    url: str,
    headers: dict[str, str],
    body: bytes,
    call: ProviderCall,
    exchange: Exchange,
) -> StreamedAnswer | Mapping[str, Any]:
    """The whole answer; or the body of an error which came in the stream.

    Chunks go to its sink as they come. ProviderError, or event_stream.NotStreamed, when there is no whole answer.
    """
    answer = Streaming(call)
    await follow(answer, client, url, headers, body, exchange, call.on_whole)
    return answer.gathered()


def of_events(call: ProviderCall, given: Iterable[ServerSentEvent]) -> StreamedAnswer | Mapping[str, Any]:
    """The same of a stream that has come whole."""
    answer = Streaming(call)
    take_all(answer, given)
    return answer.gathered()


#: The chunk that says that nothing follows.
DONE: Mapping[str, Any] = {}
_NOTHING: Mapping[str, Any] = {}
#: The one choice of an answer.
_ONE: Final = {0}
#: What of a chunk, and of a choice, says more than a text.
_REPORTS: Final = ("usage", "usageMetadata", "usage_metadata", "x_groq")
_MORE: Final = ("logprobs", "usage")


def _read(event: ServerSentEvent) -> Mapping[str, Any] | None:
    """The chunk of an event; None of an empty one."""
    data = event.data.strip()
    if not data:
        return None
    if data == b"[DONE]":
        return DONE
    try:
        chunk = loads(data)
    except ValueError:
        chunk = {"message": data.decode(errors="replace")} if event.name == "error" else None
    if isinstance(chunk, list) and chunk:  # so does Google wrap its errors
        chunk = chunk[0]
    if not isinstance(chunk, dict):
        what = "the provider's stream contains an event that is not a JSON object"
        raise ProviderError(what, upstream_status=200, code="protocol")
    return {"error": chunk} if event.name == "error" and not chunk.get("error") else chunk


class Streaming:
    """The events of one call, until one of them says that nothing follows, or is an error."""

    def __init__(self, call: ProviderCall) -> None:
        self._gathering = Gathering(call)
        self._done = False
        self._error: Mapping[str, Any] | None = None
        self.stopped = False

    @property
    def begun(self) -> bool:
        """Some of the answer has come."""
        return self._gathering.begun

    @property
    def visible(self) -> bool:
        """The same: all of it is for the caller."""
        return self._gathering.begun

    @property
    def ended(self) -> bool:
        """The end of the last choice has come."""
        return self._gathering.ended

    def take(self, event: ServerSentEvent) -> None:
        """Take the next event; ProviderError when it is none of this protocol."""
        chunk = _read(event)
        if chunk is DONE:
            self._done = self.stopped = True
        elif chunk and chunk.get("error"):
            self._error = None if self.ended else chunk
            self.stopped = True
        else:
            self._gathering.take(chunk or {})

    def gathered(self) -> StreamedAnswer | Mapping[str, Any]:
        """The whole answer, or the body of an error; ProviderError when it ended before it was whole."""
        return self._error or self._gathering.gathered(done=self._done)


class Gathering:
    """Puts the chunks of one call together; `send` of the call's sink gets what is visible of them."""

    def __init__(self, call: ProviderCall) -> None:
        self._call = call
        self._created = clock.now_seconds()
        self._head = {"id": results.completion_id(call.job_id), "created": self._created, "model": call.offer.model}
        self._wanted = wanted(call)
        self._choices: dict[int, ChoiceBuilder] = {}
        #: What the provider calls the one choice, where only one was asked for.
        self._only: int | None = None
        #: Choices of which something has been sent.
        self._started: set[int] = set()
        self._usage: Usage | None = None
        #: More has been said since the provider reported what it used.
        self._unreported = False
        #: Some of the answer has come: a text, a thought, a tool call, an end; not the role alone.
        self.begun = False
        #: The end of the last choice has come.
        self.ended = False

    @property
    def whole(self) -> bool:
        """Every choice that was asked for has been given to its end."""
        return len(self._choices) >= self._wanted and all(one.ended for one in self._choices.values())

    def take(self, chunk: Mapping[str, Any]) -> None:
        """Take the next chunk; ProviderError when it is none of this protocol."""
        if self._take_text(chunk):
            return
        try:
            choices = chunk.get("choices") or ()
            if not isinstance(choices, list | tuple):
                raise wrong("choices", "is not an array")
            for at, given in enumerate(choices):
                if not isinstance(given, dict):
                    raise wrong(f"choices[{at}]", "is not an object")
                self._take(given, at)
            if (used := reported.of(chunk)) is not None:
                self._usage = reported.both(self._usage, used)
                self.reported()
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise lacking(error, "stream") from None

    def _take_text(self, chunk: Mapping[str, Any]) -> bool:
        """Take a chunk that is a further piece of the one choice's content and nothing else, as nearly all are."""
        choices = chunk.get("choices")
        if not (type(choices) is list and len(choices) == 1 and self._started == _ONE and self._wanted == 1):
            return False
        given = choices[0]
        if type(given) is not dict or type(at := given.get("index")) is not int or at != self._only:
            return False
        delta = given.get("delta")
        if type(delta) is not dict or type(text := delta.get("content")) is not str or not text:
            return False
        if len(delta) != 1 + ("role" in delta):
            return False
        if given.get("finish_reason") or any(map(chunk.get, _REPORTS)) or any(map(given.get, _MORE)):
            return False
        self._choices[0].take_text(text)
        self._unreported = self.begun = True
        if self._call.sink is not None:
            self._call.sink.send(self._head, (part(0, {"content": text}),))
        return True

    def reported(self) -> None:
        """What has come until now is in the usage that the provider has reported."""
        self._unreported = False

    def counting(self, usage: Usage | None, choices: Sequence[Mapping[str, Any]]) -> Usage | None:
        """The usage that was reported last, without its count of an answer that went on and is plainly longer."""
        if usage is None or not self._unreported or estimates.said(choices) <= usage.completion_tokens:
            return usage
        return replace(usage, completion_tokens=0, reasoning_tokens=None, completion_audio_tokens=None)

    def gathered(self, *, done: bool = False) -> StreamedAnswer:
        """The whole answer; ProviderError when the stream ended without the end of one of its choices.

        `done`: the sender said that this is all, so fewer choices than were asked for are all that it gives.
        """
        if not (self.whole or done) or not all(one.ended for one in self._choices.values()):
            raise ProviderError(
                "the provider's stream ended before the response was complete", upstream_status=200, code="protocol"
            )
        choices = [one for _, one in sorted(self._choices.items())]
        left = [(one, one.close()) for one in choices]
        shown = [one.shown() for one in choices]
        for one, calls in left:
            if calls:
                self._send(one.index, {"tool_calls": calls}, None)
        if self._began:
            for one, given in zip(choices, shown, strict=True):
                self._send(one.index, {}, None, given["finish_reason"], one.beside())
        return StreamedAnswer(shown, self.counting(self._usage, shown), self._created)

    def _take(self, given: Mapping[str, Any], at: int) -> None:
        index = self._index(given, at)
        if index is None:
            return
        choice_ = self._choices.get(index)
        if choice_ is None:
            choice_ = self._choices[index] = choice(self._call, index)
        delta = given.get("delta") or given.get("message") or {}
        if not isinstance(delta, dict):
            raise wrong(f"choices[{index}].delta", "is not an object")
        visible = choice_.take(delta)
        logprobs = choice_.take_likely(given.get("logprobs"))
        ending = choice_.end(given.get("finish_reason"))
        self.ended = self.ended or (ending and self.whole)
        self.begun = self.begun or ending or bool(visible or delta.get("tool_calls") or delta.get("function_call"))
        if visible or logprobs:
            self._unreported = True
            self._send(index, visible, logprobs)

    def _index(self, given: Mapping[str, Any], at: int) -> int | None:
        """Which of the choices that were asked for it is; None: it is one too many."""
        index = place(given.get("index"), f"choices[{at}].index")
        if index is None:
            index = at
        if self._wanted > 1:
            return index if index < self._wanted else None
        if self._only is None:
            self._only = index
        return 0 if index == self._only else None

    @property
    def _began(self) -> bool:
        return self._call.sink is not None and self._call.sink.began

    def _send(
        self,
        index: int,
        visible: dict[str, Any],
        logprobs: Any,
        ending: str | None = None,
        beside: Mapping[str, Any] = _NOTHING,
    ) -> None:
        if self._call.sink is None:
            return
        pieces = []
        if index not in self._started:
            self._started.add(index)
            pieces.append(part(index, {"role": "assistant", "content": "" if "content" in visible else None}))
        if visible or logprobs:
            pieces.append(part(index, visible, logprobs=logprobs))
        if ending:
            pieces.append(part(index, beside, ending))
        self._call.sink.send(self._head, pieces)
