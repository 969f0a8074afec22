"""The part of a streamed answer that has been sent on, which is paid for however its job ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.answers.beside import BESIDE, REDACTED, SIGNATURE
from shared.submissions.catalogue import catalogue
from shared.submissions.offers import Offer
from shared.submissions.schemas import Usage
from shared.submissions.token_estimates import BYTES_PER_TOKEN
from workers.answers.estimates import of_chat
from workers.running.walks import Walk

#: Strings of a delta that are no text of the answer.
_UNPAID: Final = frozenset({"role", SIGNATURE, REDACTED})


@dataclass(slots=True)
class SentAnswer:
    """The chunks of an answer as they were sent, put together to as much of the whole as there is."""

    head: Mapping[str, Any] = field(default_factory=dict)
    #: UTF-8 bytes of what was sent, of whatever kind.
    bytes: int = 0
    _choices: dict[int, dict[str, Any]] = field(default_factory=dict)

    def take(self, head: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> None:
        """Take the choices of a chunk (`shared.answers.streams.part`)."""
        self.head = head
        for given in choices:
            choice = self._choices.get(given["index"]) or self._begin(given["index"])
            choice["finish"] = given["finish_reason"] or choice["finish"]
            for name, value in given["delta"].items():
                if name == "tool_calls":
                    self.bytes += sum(_take_call(choice["calls"], call) for call in value or ())
                elif name == BESIDE:
                    choice["beside"] = value
                elif isinstance(value, str) and name not in _UNPAID:
                    choice["texts"].setdefault(name, []).append(value)
                    self.bytes += _size(value)

    def _begin(self, index: int) -> dict[str, Any]:
        choice = self._choices[index] = {"texts": {}, "calls": {}, "finish": None, "beside": None}
        return choice

    def whole(self, wanted: int) -> bool:
        """So many choices have been sent to their end."""
        return sum(choice["finish"] is not None for choice in self._choices.values()) >= wanted

    def choices(self) -> list[dict[str, Any]]:
        """As an unstreamed answer has them; one that was cut off has no finish reason."""
        return [
            {"index": index, "message": _message(choice), "logprobs": None, "finish_reason": choice["finish"]}
            for index, choice in sorted(self._choices.items())
        ]


def _take_call(calls: dict[int, dict[str, Any]], given: Mapping[str, Any]) -> int:
    """Take a piece of a tool call; the bytes of it."""
    call = calls.setdefault(given["index"], {"id": None, "name": "", "arguments": [], "beside": None})
    function = given.get("function") or {}
    name, arguments = function.get("name") or "", function.get("arguments") or ""
    call["id"] = given.get("id") or call["id"]
    call["name"] = name or call["name"]
    call["beside"] = given.get(BESIDE) or call["beside"]
    call["arguments"].append(arguments)
    return _size(name) + _size(arguments)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _message(choice: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: "".join(pieces) for name, pieces in choice["texts"].items()}
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, **texts, **_beside(choice)}
    if choice["calls"]:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": "".join(call["arguments"])},
                **_beside(call),
            }
            for _, call in sorted(choice["calls"].items())
        ]
    return message


def _beside(given: Mapping[str, Any]) -> dict[str, Any]:
    return {BESIDE: given["beside"]} if given["beside"] else {}


@dataclass(slots=True)
class PartialAnswer:
    """What this worker has sent on of one job's answer, and by which offer."""

    offer: Offer | None = None
    gathered: SentAnswer | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    #: The provider has sent all of it; it is waited for only to report the usage.
    complete: bool = False
    #: Of a job that takes several calls, the steps before this one; `offer` is the one that this step is charged by.
    walk: Walk | None = None
    _prompt: int | None = None

    def begin(self, offer: Offer, request: Mapping[str, Any], gathered: SentAnswer, walk: Walk | None = None) -> None:
        """Another call, of which nothing has been sent on."""
        self.offer, self.request, self.gathered, self.complete = offer, request, gathered, False
        self.walk = walk

    def take_whole(self) -> None:
        """All of the answer has come."""
        self.complete = True

    @property
    def began(self) -> bool:
        """Something has been sent."""
        return self.gathered is not None and bool(self.gathered.head)

    @property
    def whole(self) -> bool:
        """All of it has been sent, but for why it ended: nothing is left that a cancel could save."""
        if self.gathered is None or not self.began:
            return False
        return self.complete or self.gathered.whole(self.request.get("n") or 1)

    def usage(self) -> Usage:
        """The prompt, and what was sent, as counted here."""
        if self._prompt is None:
            self._prompt = of_chat(None, self.request, (), catalogue().overheads, 0).prompt_tokens
        sent = self.gathered.bytes if self.gathered else 0
        return Usage(prompt_tokens=self._prompt, completion_tokens=-(-sent // BYTES_PER_TOKEN), estimated=True)
