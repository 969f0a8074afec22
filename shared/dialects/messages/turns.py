"""The turns of a Messages request as canonical messages.

Source: platform.claude.com/docs/en/api/messages/create (messages, system, content blocks). Results of tools stand in a
user's turn there and are messages of their own here, before what else the user says; thoughts stand beside the content.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from shared.answers.beside import BESIDE
from shared.dialects.messages import seals, shapes
from shared.dialects.messages.answers import AFTER
from shared.errors import InvalidRequest

Value = dict[str, Any]

#: The types of blocks that a turn of each role may have.
_OF_ROLE: Final = {
    "user": frozenset({"text", "image", "document", "search_result", "tool_result"}),
    "assistant": frozenset({"text", "thinking", "redacted_thinking", "tool_use"}),
    "system": frozenset({"text"}),
}
#: How a block of the system prompt begins that a coding agent's server reads, and that differs in every request, so
#: that no provider would find the prompt in its cache (code.claude.com/docs/en/llm-gateway-protocol, "System prompt
#: attribution block"; github.com/ggml-org/llama.cpp/pull/20623).
_ATTRIBUTION: Final = "x-anthropic-billing-header:"


class TurnTranslator:
    """Translates turns."""

    def __init__(self) -> None:
        #: The paths of what no provider is sent, as the request has them.
        self.unsent: list[str] = []
        #: The paths of the pictures, in the order of the messages that are made.
        self.pictures: list[str] = []

    def system(self, given: str | Sequence[shapes.TextBlock] | None) -> list[Value]:
        """The system prompt as a message, none if it says nothing."""
        if given is None or isinstance(given, str):
            return [{"role": "system", "content": given}] if given else []
        parts: list[Value] = []
        for at, block in enumerate(given):
            if block.text.startswith(_ATTRIBUTION):
                self.unsent.append(f"system[{at}]")
            else:
                parts += self._part(block, f"system[{at}]")
        return [{"role": "system", "content": parts}] if parts else []

    def messages(self, turns: Sequence[shapes.Turn]) -> list[Value]:
        """All the turns."""
        return [made for at, turn in enumerate(turns) for made in self._turn(turn, f"messages[{at}].content")]

    def cache(self, given: shapes.CacheControl | None, path: str) -> Value:
        """A `cache_control` as the field that it is, or nothing."""
        if given is None:
            return {}
        if given.scope is not None:
            self.unsent.append(f"{path}.cache_control.scope".removeprefix("."))
        return {"cache_control": given.model_dump(exclude_none=True, exclude={"scope"})}

    def _turn(self, turn: shapes.Turn, path: str) -> Iterator[Value]:
        if isinstance(turn.content, str):
            yield {"role": turn.role, "content": turn.content}
            return
        if not turn.content and turn.role != "assistant":
            raise InvalidRequest(f"{path}: must have at least one block", param=path)
        for at, block in enumerate(turn.content):
            if block.type not in _OF_ROLE[turn.role]:
                where = f"{path}[{at}].type"
                raise InvalidRequest(
                    f"{where}: {block.type} is not allowed in a message of the {turn.role}", param=where
                )
        if turn.role == "assistant":
            yield self._answer(turn.content, path)
            return
        for at, block in enumerate(turn.content):
            if isinstance(block, shapes.ToolResultBlock):
                yield self._result(block, f"{path}[{at}]")
        if parts := self._parts(turn.content, path):
            yield {"role": turn.role, "content": parts}

    def _answer(self, blocks: Sequence[Any], path: str) -> Value:
        """What the model said; content that thoughts stand in the midst of is one text, in which they have places."""
        signed = list(_signed(blocks))
        calls = [
            self._call(block, f"{path}[{at}]") | _beside(blocks[at - 1] if at else None)
            for at, block in enumerate(blocks)
            if isinstance(block, shapes.ToolUseBlock)
        ]
        parts: Any = self._parts(blocks, path)
        if any(AFTER in block for block in signed) and not any("cache_control" in part for part in parts):
            parts = "".join(part["text"] for part in parts)
        made: Value = {"role": "assistant", "content": parts or (None if calls else "")}
        if said := "".join(block.thinking for block in blocks if isinstance(block, shapes.ThinkingBlock)):
            made["reasoning_content"] = said
        return made | ({"thinking_blocks": signed} if signed else {}) | ({"tool_calls": calls} if calls else {})

    def _call(self, block: shapes.ToolUseBlock, path: str) -> Value:
        function = {"name": block.name, "arguments": orjson.dumps(block.input).decode()}
        return {"id": block.id, "type": "function", "function": function, **self.cache(block.cache_control, path)}

    def _result(self, block: shapes.ToolResultBlock, path: str) -> Value:
        content = block.content if isinstance(block.content, str) else self._parts(block.content or (), path) or ""
        made = {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}
        return made | ({"is_error": True} if block.is_error else {}) | self.cache(block.cache_control, path)

    def _parts(self, blocks: Sequence[Any], path: str) -> list[Value]:
        """The texts and pictures among the blocks as parts."""
        return [part for at, block in enumerate(blocks) for part in self._part(block, f"{path}[{at}]")]

    def _part(self, block: Any, path: str) -> Iterator[Value]:
        match block:
            case shapes.TextBlock():
                self._pass_over(block, path, "citations")
                yield {"type": "text", "text": block.text, **self.cache(block.cache_control, path)}
            case shapes.ImageBlock():
                self._pass_over(block, path, "transformations")
                self.pictures.append(f"{path}.source")
                yield {
                    "type": "image_url",
                    "image_url": {"url": _address(block.source)},
                    **self.cache(block.cache_control, path),
                }
            case shapes.DocumentBlock():
                self._pass_over(block, path, "citations")
                yield from self._document(block, path)
            case shapes.SearchResultBlock():
                self._pass_over(block, path, "citations")
                text = "\n\n".join((block.title, block.source, *(part.text for part in block.content)))
                yield {"type": "text", "text": text, **self.cache(block.cache_control, path)}

    def _document(self, block: shapes.DocumentBlock, path: str) -> Iterator[Value]:
        """The texts of a document as one part; one that has pictures as its parts, the last of which is cached."""
        head, source = [text for text in (block.title, block.context) if text], block.source
        cached = self.cache(block.cache_control, path)
        said = source.data if isinstance(source, shapes.TextSource) else source.content
        if isinstance(said, str):
            yield {"type": "text", "text": "\n\n".join(filter(None, [*head, said])), **cached}
            return
        parts = [{"type": "text", "text": text} for text in head]
        parts += self._parts(said, f"{path}.source.content")
        yield from (part | (cached if part is parts[-1] else {}) for part in parts)

    def _pass_over(self, block: Any, path: str, *names: str) -> None:
        self.unsent += [f"{path}.{name}" for name in names if getattr(block, name)]


def _address(source: shapes.Base64Source | shapes.UrlSource) -> str:
    if isinstance(source, shapes.UrlSource):
        return source.url
    return f"data:{source.media_type};base64,{source.data}"


def _beside(block: Any) -> Value:
    """What a provider wants back with a call, of the block before it, which it was sealed into."""
    content = seals.unsealed(block.data) if isinstance(block, shapes.RedactedThinkingBlock) else None
    return {BESIDE: content} if content else {}


def _signed(blocks: Sequence[Any]) -> Iterator[Value]:
    """The thoughts that are signed, those in the midst of the others with their place."""
    characters = calls = 0
    for block in blocks:
        if getattr(block, "signature", "") or (
            isinstance(block, shapes.RedactedThinkingBlock) and not seals.is_sealed(block.data)
        ):
            place = {AFTER: {"characters": characters, "tool_calls": calls}} if characters or calls else {}
            yield block.model_dump() | place
        characters += len(block.text) if isinstance(block, shapes.TextBlock) else 0
        calls += isinstance(block, shapes.ToolUseBlock)
