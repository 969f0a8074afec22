"""What the simulator says: texts, tool calls, JSON and vectors that are functions of the request alone."""

import math
import re
from array import array
from dataclasses import dataclass, field
from hashlib import blake2b, shake_256
from typing import Any, Literal

import orjson

from workers.simulator import conducted
from workers.simulator.invent import invent
from workers.simulator.messages import PLAIN, Twist

Finish = Literal["stop", "length", "tool", "refusal", "content_filter"]

#: One token for each four bytes of UTF-8, begun ones counted.
BYTES_PER_TOKEN = 4
#: Tokens that a message costs beside its text, and an image of any size.
MESSAGE_TOKENS = 4
IMAGE_TOKENS = 85
REFUSAL = "I'm sorry, but I can't help with that."
_PIECE = re.compile(r"\s*\S{1,16}|\s+")


@dataclass(slots=True)
class Prompt:
    """A request for text in canonical terms, whichever protocol it came by.

    `choice` is auto, none, required, or the name of the tool that must be called. `shape` is the JSON schema
    that the answer must have; an empty one means any object; None means prose.
    """

    seed: bytes
    text: str
    from_user: bool
    prompt_tokens: int
    limit: int | None = None
    stops: list[str] = field(default_factory=list)
    tools: dict[str, Any] = field(default_factory=dict)
    choice: str = "auto"
    shape: Any = None


@dataclass(slots=True)
class Reaction:
    """One answer. `call` is a tool's name and its arguments as JSON text (cut short when finish is length)."""

    id: str
    text: str
    finish: Finish
    tokens: int
    call: tuple[str, str] | None = None
    stop: str | None = None


def tokens(text: str) -> int:
    """How many tokens a text is said to have."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)


def tool_tokens(tools: Any) -> int:
    """How many tokens the description of tools costs."""
    return -(-len(orjson.dumps(tools)) // BYTES_PER_TOKEN) if tools else 0


def digest(*parts: Any) -> bytes:
    """Eight bytes that stand for the request's meaning: the same for a stream and a whole answer."""
    return blake2b(orjson.dumps(parts), digest_size=8).digest()


def compose(ask: Prompt, index: int = 0, twist: Twist = PLAIN) -> Reaction:
    """Decide the answer number `index` to an ask."""
    id = blake2b(ask.seed + index.to_bytes(2, "big"), digest_size=12).hexdigest()
    if twist.ending:
        return _ended(id, ask, twist.ending)
    tool = _tool(ask)
    if tool is not None:
        return _calling(id, ask, tool)
    if (verdict := conducted.verdict(ask.text)) is not None:
        text = verdict
    elif ask.shape is not None:
        text = orjson.dumps(invent(ask.shape) if ask.shape else {"answer": _sentence(id, ask.text)}).decode()
    else:
        text = _sentence(id, ask.text)
    return _bounded(id, text if twist.length is None else _stretched(text, twist.length), ask)


def _sentence(id: str, question: str) -> str:
    return f"Simulated answer {id[:6]} to: {question[:60]}"


def _stretched(text: str, length: int) -> str:
    """A text of exactly so many pieces: cut, or gone on with numbers."""
    found = pieces(text)[:length]
    return "".join(found) + "".join(f" {number}" for number in range(len(found) + 1, length + 1))


def _ended(id: str, ask: Prompt, ending: Literal["refusal", "content_filter"]) -> Reaction:
    text = REFUSAL if ending == "refusal" else _sentence(id, ask.text)[:24]
    text, _ = _cut(text, ask.limit)
    return Reaction(id, text, ending, tokens(text))


def _tool(ask: Prompt) -> str | None:
    if not ask.tools or ask.choice == "none" or not ask.from_user:
        return None
    if ask.choice in ask.tools:
        return ask.choice
    named = next((name for name in ask.tools if name in ask.text), None)
    return named or (next(iter(ask.tools)) if ask.choice == "required" else None)


def _calling(id: str, ask: Prompt, tool: str) -> Reaction:
    arguments = orjson.dumps(invent(ask.tools[tool])).decode()
    room = None if ask.limit is None else max(ask.limit - tokens(tool), 0)
    kept, cut = _cut(arguments, room)
    used = tokens(tool) + tokens(kept)
    used = used if ask.limit is None else min(used, ask.limit)
    return Reaction(id, "", "length" if cut else "tool", used, (tool, kept))


def _bounded(id: str, text: str, ask: Prompt) -> Reaction:
    found = [(text.find(stop), stop) for stop in ask.stops if stop and stop in text]
    at, stop = min(found) if found else (len(text), None)
    text, cut = _cut(text[:at], ask.limit)
    return Reaction(id, text, "length" if cut else "stop", tokens(text), stop=None if cut else stop)


def _cut(text: str, limit: int | None) -> tuple[str, bool]:
    if limit is None or tokens(text) <= limit:
        return text, False
    return text.encode("utf-8", "replace")[: limit * BYTES_PER_TOKEN].decode("utf-8", "ignore"), True


def pieces(text: str) -> list[str]:
    """A text as the pieces that a stream sends, word by word."""
    return _PIECE.findall(text)


def dimensions_of(model: str, asked: int | None) -> int:
    """How long a vector is: as asked, else 3072 for the large models, and 256 for speed elsewhere."""
    return asked or (3072 if "-large" in model else 256)


def vector(text: str, model: str, length: int) -> list[float]:
    """A unit vector of 32-bit floats, always the same for the same text, model and length."""
    raw = array("h", shake_256(f"{model}\0{text}".encode("utf-8", "surrogatepass")).digest(2 * length))
    norm = math.sqrt(sum(x * x for x in raw)) or 1.0
    return array("f", [x / norm for x in raw]).tolist()
