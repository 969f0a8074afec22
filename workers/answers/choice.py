"""One choice of an answer in the making: whole at once, or from the deltas of a stream, in either case the same."""

from collections.abc import Mapping
from typing import Any

from workers.answers import finish, texts
from workers.answers.shape import wrong
from workers.answers.tool_calls import ToolCalls, of_function_call


class Choice:
    """Takes a message or its pieces; `stem` begins the ids of tool calls that have none, `known`: the tools' names."""

    def __init__(self, index: int, stem: str, known: frozenset[str]) -> None:
        self.index = index
        self._path = f"choices[{index}]"
        self._texts: dict[str, list[str]] = {name: [] for name in texts.NAMES}
        self._calls = ToolCalls(f"{stem}_{index}", known, f"{self._path}.message.tool_calls")
        self._likely: dict[str, list[Any]] = {}
        self._finish: str | None = None

    @property
    def ended(self) -> bool:
        """The provider has said why it ended."""
        return self._finish is not None

    def take(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """Take a delta; what of it can be passed on."""
        visible: dict[str, Any] = dict(self._said(delta, "delta"))
        if calls := self._calls.take(self._called(delta)):
            visible["tool_calls"] = calls
        return visible

    def take_whole(self, message: Mapping[str, Any]) -> None:
        """Take the message of an unstreamed answer."""
        self._said(message, "message")
        self._calls.take_whole(self._called(message))

    def _said(self, message: Mapping[str, Any], name: str) -> Mapping[str, str]:
        said = texts.read(message, f"{self._path}.{name}")
        for kind, text in said.items():
            self._texts[kind].append(text)
        return said

    def _called(self, message: Mapping[str, Any]) -> Any:
        return message.get("tool_calls") or of_function_call(message.get("function_call"))

    def take_likely(self, given: Any) -> dict[str, list[Any]] | None:
        """Take logprobs; as they are passed on."""
        if given is not None and not isinstance(given, dict):
            raise wrong(f"{self._path}.logprobs", "is no object")
        found = {name: list(given[name]) for name in ("content", "refusal") if given.get(name)} if given else {}
        for name, tokens in found.items():
            self._likely.setdefault(name, []).extend(tokens)
        return found or None

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
        left = self._calls.close(cut=word in finish.CUT)
        if word == "tool_calls" and not self._calls and not any(self._texts.values()):
            raise wrong(f"{self._path}.message.tool_calls", "is missing")
        self._finish = finish.settled(word, calls=bool(self._calls))
        return left

    def shown(self) -> dict[str, Any]:
        """The choice in OpenAI's shape, once closed."""
        reasoning, content, refusal = ("".join(self._texts[name]) for name in texts.NAMES)
        spoken = content or (None if refusal or self._calls else "")
        message: dict[str, Any] = {"role": "assistant", "content": spoken, "refusal": refusal or None}
        if reasoning:
            message["reasoning_content"] = reasoning
        if self._calls:
            message["tool_calls"] = self._calls.shown()
        likely = {name: self._likely.get(name) for name in ("content", "refusal")} if self._likely else None
        return {"index": self.index, "message": message, "logprobs": likely, "finish_reason": self._finish}
