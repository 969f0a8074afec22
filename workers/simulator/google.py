"""Gemini's own protocol: generateContent (texts, calls, thoughts, images), its stream, embeddings.

Requests are read in `google_asks`. What the real one does that this does too: models from Gemini 3 on sign what they
say and give their calls ids; a thinkingConfig makes a model think, whose thoughts are counted beside its answer; the
tier that served a request is in `x-gemini-service-tier`; a model of images answers with one where it is asked for.
"""

import base64
from collections.abc import Iterator
from typing import Any, Final

import orjson

from workers.simulator import google_asks, google_shapes, google_turns
from workers.simulator.answers import Prompt, Reaction, compose, dimensions_of, pieces, tokens, vector
from workers.simulator.google_asks import camel as camel
from workers.simulator.google_asks import read as read
from workers.simulator.google_odd import THOUGHTS
from workers.simulator.media import png
from workers.simulator.messages import (
    SimulatedRefusal,
    SimulatedReply,
    SimulatedRequest,
    Twist,
    event,
    json_reply,
    may,
    need,
    objects,
    stream_reply,
)

Body = dict[str, Any]

FINISH = {
    "stop": "STOP",
    "tool": "STOP",
    "length": "MAX_TOKENS",
    "refusal": "PROHIBITED_CONTENT",
    "content_filter": "SAFETY",
}
TIER_HEADER: Final = b"x-gemini-service-tier"
MOST_EMBEDDED: Final = 100
#: Width and height of a picture by its aspect ratio, in the usual size.
PICTURES: Final = {
    "1:1": (1024, 1024),
    "3:2": (1248, 832),
    "2:3": (832, 1248),
    "16:9": (1344, 768),
    "9:16": (768, 1344),
}
#: Tokens of a picture.
PICTURE_TOKENS: Final = 1290


def generate(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST models/{model}:generateContent."""
    candidates, frame, tier = _answer(request, twist)
    whole = [_candidate(index, parts, ending) for index, (parts, ending) in enumerate(candidates)]
    return _tiered(json_reply(frame | ({"candidates": whole} if whole else {})), tier)


def stream(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST models/{model}:streamGenerateContent; with alt=sse as events, else as one JSON list."""
    candidates, frame, tier = _answer(request, twist)
    chunks = list(_chunks(candidates, frame))
    reply = stream_reply(list(map(event, chunks))) if request.query.get("alt") == "sse" else json_reply(chunks)
    return _tiered(reply, tier)


def count_tokens(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST models/{model}:countTokens."""
    body = camel(request.body)
    google_shapes.check(body, google_shapes.COUNT)
    asked = may(body, "generateContentRequest", dict, body)
    return json_reply({"totalTokens": read(asked, request.name).prompt_tokens})


def embed(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST models/{model}:embedContent."""
    body = camel(request.body)
    google_shapes.check(body, google_shapes.EMBED)
    return json_reply({"embedding": {"values": _values(request.name, body, twist)}} | _read_tokens([body], twist))


def batch_embed(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST models/{model}:batchEmbedContents."""
    body = camel(request.body)
    google_shapes.check(body, google_shapes.BATCH)
    asked = objects(body, "requests") or need({}, "requests", list)
    if len(asked) > MOST_EMBEDDED:
        why = "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch"
        raise SimulatedRefusal(400, why)
    for one in asked:
        if need(one, "model", str).removeprefix("models/") != request.name:
            raise SimulatedRefusal(
                400, "* BatchEmbedContentsRequest.requests[].model: must match the model of the path"
            )
    found = [] if twist.empty else [{"values": _values(request.name, one, twist)} for one in asked]
    return json_reply({"embeddings": found} | _read_tokens(asked, twist))


def _values(model: str, asked: Body, twist: Twist) -> list[float]:
    text, _ = google_asks.content_of(need(asked, "content", dict))
    length = dimensions_of(model, may(asked, "outputDimensionality", int, 0))
    return [] if twist.empty else vector(text, model, length)


def _read_tokens(asked: list[Body], twist: Twist) -> Body:
    texts = [google_asks.content_of(one["content"])[0] for one in asked]
    counts = twist.count(sum(map(tokens, texts)), 0)
    return {"usageMetadata": {"promptTokenCount": counts[0], "totalTokenCount": counts[0]}} if counts else {}


#: A candidate: its parts, and why it ended.
_Said = tuple[list[Body], str]


def _answer(request: SimulatedRequest, twist: Twist) -> tuple[list[_Said], Body, str]:
    """The candidates, everything of the answer but them, and the tier."""
    body = camel(request.body)
    ask, config = read(body, request.name), may(body, "generationConfig", dict, {})
    tier = google_asks.tier(body)
    frame: Body = {"modelVersion": request.name, "responseId": ask.seed.hex()}
    if "IMAGE" in may(config, "responseModalities", list, []):
        return *_drawn(request.name, ask, config, twist, frame), tier
    blocked = twist.ending == "content_filter"
    if blocked:
        frame["promptFeedback"] = {"blockReason": "SAFETY"}
    count = may(config, "candidateCount", int, 1)
    turns = [] if twist.empty or blocked else [compose(ask, index, twist) for index in range(count)]
    thought = tokens(THOUGHTS) * len(turns) if google_asks.thinks(body) else 0
    shown = bool(thought and may(config, "thinkingConfig", dict, {}).get("includeThoughts"))
    candidates = [(_parts(turn, request.name, shown=shown), FINISH[turn.finish]) for turn in turns]
    _count(frame, twist, ask.prompt_tokens, sum(turn.tokens for turn in turns), thought)
    return candidates, frame, tier


def _count(frame: Body, twist: Twist, prompt: int, said: int, thought: int = 0) -> None:
    counts = twist.count(prompt, said)
    if counts is None:
        return
    usage = {"promptTokenCount": counts[0], "candidatesTokenCount": counts[1]}
    if thought:
        usage["thoughtsTokenCount"] = thought
    frame["usageMetadata"] = usage | {"totalTokenCount": sum(usage.values())}


def _parts(turn: Reaction, model: str, *, shown: bool) -> list[Body]:
    """What a turn says: its thoughts where they are shown, then a text or a call; the last of it signed."""
    parts: list[Body] = [{"text": THOUGHTS, "thought": True}] if shown else []
    if turn.call is not None:
        arguments = {} if turn.finish == "length" else orjson.loads(turn.call[1])
        parts.append({"functionCall": {"name": turn.call[0], "args": arguments}})
        if google_turns.signs(model):
            parts[-1]["functionCall"]["id"] = turn.id[:8]
    elif turn.text and turn.finish != "refusal":
        parts.append({"text": turn.text})
    if parts and google_turns.signs(model):
        parts[-1]["thoughtSignature"] = google_turns.signature(turn.id)
    return parts


def _drawn(model: str, ask: Prompt, config: Body, twist: Twist, frame: Body) -> tuple[list[_Said], Body]:
    """A picture, of a colour that the prompt decides."""
    if "image" not in model:
        raise SimulatedRefusal(400, "Model does not support the requested response modalities: image")
    if config.get("candidateCount") not in (None, 1):
        raise SimulatedRefusal(400, "Multiple candidates is not enabled for this model")
    ratio = may(may(config, "imageConfig", dict, {}), "aspectRatio", str, "1:1")
    if twist.ending:
        _count(frame, twist, ask.prompt_tokens, 0)
        return [([], "IMAGE_SAFETY")], frame
    size = PICTURES.get(ratio, PICTURES["1:1"])
    data = base64.b64encode(png(*size, ask.seed.hex()[:6])).decode()
    _count(frame, twist, ask.prompt_tokens, PICTURE_TOKENS)
    return [([{"inlineData": {"mimeType": "image/png", "data": data}}], "STOP")] if not twist.empty else [], frame


def _candidate(index: int, parts: list[Body], ending: str | None) -> Body:
    found: Body = {"index": index}
    if parts:
        found["content"] = {"role": "model", "parts": parts}
    return found | ({"finishReason": ending} if ending else {})


def _chunks(candidates: list[_Said], frame: Body) -> Iterator[Body]:
    """The stream: each candidate piece by piece, its finishReason on its last piece."""
    if not candidates:
        yield frame
    for index, (parts, ending) in enumerate(candidates):
        split: list[list[Body]] = [[piece] for part in parts for piece in _split(part)] or [[]]
        for at, one in enumerate(split):
            last = ending if at == len(split) - 1 else None
            yield frame | {"candidates": [_candidate(index, one, last)]}


def _split(part: Body) -> list[Body]:
    """A part as it is streamed: a text word by word, its signature with an empty text at its end."""
    if "text" not in part:
        return [part]
    signature = part.get("thoughtSignature")
    kept = {name: given for name, given in part.items() if name not in ("text", "thoughtSignature")}
    split = [{**kept, "text": piece} for piece in pieces(part["text"])]
    return [*split, {"text": "", "thoughtSignature": signature}] if signature else split


def _tiered(reply: SimulatedReply, tier: str) -> SimulatedReply:
    reply.headers.append((TIER_HEADER, tier.encode()))
    return reply
