"""One choice of an answer in the making: whole at once, or from the deltas of a stream, in either case the same."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from shared import strict_json
from shared.answers.beside import BESIDE, NATIVE, SIGNED, STOPPED_AT
from shared.errors import ProviderError
from workers.answers import finish, texts
from workers.answers.shape import wrong
from workers.answers.tool_calls import ToolCalls, of_function_call

#: Characters that one token of an answer can have, and as many more as any answer may have besides: thoughts, which
#: some providers do not count.
TOKEN_CHARACTERS: Final = 128
MORE_CHARACTERS: Final = 4 * 1024 * 1024


class ChoiceBuilder:
    """Takes a message or its pieces; `stem` begins the ids of tool calls that have none, `tools` are the request's.

    `limit`: the most tokens that were asked for; 0: no limit is known. ProviderError when far more than that comes.
    """

    def __init__(self, index: int, stem: str, tools: Sequence[Mapping[str, Any]], limit: int = 0) -> None:
        self._left = limit * TOKEN_CHARACTERS + MORE_CHARACTERS if limit else math.inf
        self.index = index
        self._path = f"choices[{index}]"
        self._stem = stem
        self._tools = tools
        self._texts: dict[str, list[str]] = {}
        #: None: there are none yet.
        self._calls: ToolCalls | None = None
        self._likely: dict[str, list[Any]] = {}
        #: What stands beside the message; known at its end, since a later piece takes the place of an earlier one.
        self._beside: dict[str, Any] = {}
        self._finish: str | None = None
        #: The one of the request's `stop` at which it ended, where the provider says that.
        self.stopped_at: str | None = None
        #: The provider's own word for why it ended, where it says more than OpenAI's.
        self.native: str | None = None
        #: Thoughts as their provider signed them.
        self._signed: list[dict[str, Any]] = []

    @property
    def ended(self) -> bool:
        """The provider has said why it ended."""
        return self._finish is not None

    def take(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """Take a delta; what of it can be passed on."""
        visible: dict[str, Any] = self._said(delta, "delta")
        if (called := _called(delta)) and (calls := self._calling().take(called)):
            visible["tool_calls"] = calls
            self._count(call["function"].get("arguments") for call in calls)
        return visible

    def take_text(self, text: str) -> None:
        """Take a delta that is a piece of content and nothing else."""
        self._count((text,))
        self._texts.setdefault("content", []).append(text)

    def take_whole(self, message: Mapping[str, Any]) -> None:
        """Take the message of an unstreamed answer."""
        self._said(message, "message")
        if called := _called(message):
            self._calling().take_whole(called)

    def _said(self, message: Mapping[str, Any], name: str) -> dict[str, Any]:
        said: dict[str, Any] = texts.read(message, f"{self._path}.{name}")
        self._count(said.values())
        for kind, text in said.items():
            self._texts.setdefault(kind, []).append(text)
        if isinstance(beside := message.get(BESIDE), dict) and not strict_json.is_deep(beside):
            self._beside.update(beside)
        return said

    def _count(self, texts: Iterable[str | None]) -> None:
        for text in texts:
            self._left -= len(text or "")
        if self._left < 0:
            what = "the provider's response is longer than the limit that was asked for"
            raise ProviderError(what, upstream_status=200, code="protocol")

    def _calling(self) -> ToolCalls:
        if self._calls is None:
            known = frozenset(tool["function"]["name"] for tool in self._tools)
            self._calls = ToolCalls(f"{self._stem}_{self.index}", known, f"{self._path}.message.tool_calls")
        return self._calls

    def take_likely(self, given: Any) -> dict[str, list[Any]] | None:
        """Take logprobs; as they are passed on."""
        if given is None:
            return None
        if not isinstance(given, dict):
            raise wrong(f"{self._path}.logprobs", "is not an object")
        found = {name: list(given[name]) for name in ("content", "refusal") if given.get(name)}
        if strict_json.is_deep(found):
            raise wrong(f"{self._path}.logprobs", "is nested too deeply")
        for name, tokens in found.items():
            self._likely.setdefault(name, []).extend(tokens)
        return found or None

    def sign(self, blocks: Sequence[dict[str, Any]]) -> None:
        """Keep signed thoughts (LiteLLM's `thinking_blocks`), which the caller has to give back as they are."""
        self._signed += blocks

    def end(self, reason: Any) -> bool:
        """Take a finish reason, the first that says something; whether it ends the choice now."""
        given = finish.reason(reason, f"{self._path}.finish_reason")
        if given is None or (self._finish is not None and self._finish != "stop"):
            return False
        first, self._finish = self._finish is None, given
        return first

    def close(self) -> list[dict[str, Any]]:
        """Nothing more comes: pieces of tool calls that are left to pass on. ProviderError when it is no answer."""
        word = self._finish or "stop"
        left = self._calls.close(cut=word in finish.CUT) if self._calls is not None else []
        if word == "tool_calls" and not self._calls and not self._texts:
            raise wrong(f"{self._path}.message.tool_calls", "is missing")
        self._finish = finish.settled(word, calls=bool(self._calls))
        return left

    def beside(self) -> dict[str, Any]:
        """What its message has besides (`extra_content`), if anything; of a stream, it goes with the finish reason."""
        return {BESIDE: self._beside} if self._beside else {}

    def shown(self) -> dict[str, Any]:
        """The choice in OpenAI's shape, once closed."""
        reasoning, content, refusal = ("".join(self._texts.get(name, ())) for name in texts.NAMES)
        spoken = content or (None if refusal or self._calls else "")
        message: dict[str, Any] = {"role": "assistant", "content": spoken, "refusal": refusal or None}
        if reasoning:
            message["reasoning_content"] = reasoning
        if self._signed:
            message[SIGNED] = self._signed
        if self._calls:
            message["tool_calls"] = self._calls.shown()
        if self._beside:
            message.update(self.beside())
        likely = {name: self._likely.get(name) for name in ("content", "refusal")} if self._likely else None
        made = {"index": self.index, "message": message, "logprobs": likely, "finish_reason": self._finish}
        if self.stopped_at is not None:
            made[STOPPED_AT] = self.stopped_at
        if self.native is not None:
            made[NATIVE] = self.native
        return made


def _called(message: Mapping[str, Any]) -> Any:
    """Its tool calls, or pieces of them, in the newer way or the older one."""
    return message.get("tool_calls") or of_function_call(message.get("function_call"))
