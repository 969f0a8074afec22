"""Reads the texts of a message or a chunk: content, refusal and reasoning, in any provider's form.

Content may be a list of parts (Mistral's has the thinking in it). Reasoning is a text of its own, `reasoning_content`
here as at DeepSeek, vLLM, SGLang, Moonshot, Qwen; `reasoning` at OpenRouter, Groq, Cerebras, newer vLLM; `thinking` at
Ollama; `reasoning_details` (OpenRouter), `thinking_blocks` (LiteLLM) in parts. What stands in `<think>` stays content.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from workers.answers.shape import text, wrong

#: The texts of a message, in the order in which they are sent.
NAMES = ("reasoning_content", "content", "refusal")

_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details", "thinking_blocks")
#: Parts of a content that are thoughts, by their type.
_THINKING = frozenset({"thinking", "reasoning", "reasoning_content", "thought"})

#: Lists and parts within each other.
_DEEPEST = 4


def read(message: Mapping[str, Any], path: str) -> dict[str, str]:
    """Its texts by the names above, those that are not empty."""
    found: dict[str, str] = {}
    content = message.get("content")
    if isinstance(content, str):
        if content:
            found["content"] = content
    elif content is not None:
        pieces: dict[str, list[str]] = {}
        for name, said in _parts(content, f"{path}.content"):
            pieces.setdefault(name, []).append(said)
        found.update((name, "".join(texts)) for name, texts in pieces.items())
    if refusal := message.get("refusal"):
        found["refusal"] = found.get("refusal", "") + text(refusal, f"{path}.refusal")
    if not found.get("reasoning_content"):
        for name in _THOUGHTS:
            if name in message and (thought := _thought(message[name])):
                found["reasoning_content"] = thought
                break
    return found


def _parts(content: Any, path: str) -> Iterator[tuple[str, str]]:
    """The texts of a list of parts, or of one; those that are not empty."""
    parts = [content] if isinstance(content, dict) else content
    if not isinstance(parts, list):
        raise wrong(path, "is neither a string nor an array of parts")
    for at, part in enumerate(parts):
        if not isinstance(part, dict) or not ("type" in part or "text" in part):
            raise wrong(f"{path}[{at}]", "is not a valid message part")
        name, said = _part(part, f"{path}[{at}]")
        if said:
            yield name, said


def _part(part: Mapping[str, Any], path: str) -> tuple[str, str]:
    """One part; what is no text, as an image, is passed over."""
    if part.get("type") in _THINKING:
        return "reasoning_content", _thought(part)
    if part.get("type") == "refusal":
        return "refusal", text(part.get("refusal"), f"{path}.refusal")
    return "content", text(part.get("text"), f"{path}.text")


def _thought(given: Any, depth: int = 0) -> str:
    """The text of a thought, or of a list of them; what is none is no reason to lose the answer."""
    if isinstance(given, str):
        return given
    if isinstance(given, list) and depth < _DEEPEST:
        return "".join(_thought(one, depth + 1) for one in given)
    if isinstance(given, dict) and depth < _DEEPEST:
        found = (_thought(given.get(name), depth + 1) for name in ("text", "thinking", "summary", "content"))
        return next(filter(None, found), "")
    return ""
