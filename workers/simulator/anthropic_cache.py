"""Anthropic's prompt cache: what of a prompt was read from it, and what was written into it, and for how long.

Source: platform.claude.com/docs/en/build-with-claude/prompt-caching. A prompt is read in the order tools, system,
messages; each block that is marked ends a prefix. The longest prefix that is known is read, the longer ones are
written. A prefix that is too short is not cached. Bounded: the oldest are forgotten.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from shared import clock
from workers.simulator.answers import BYTES_PER_TOKEN, digest

#: Tokens of the shortest prefix that is cached.
LEAST_TOKENS = 1024
SECONDS = {"5m": 300.0, "1h": 3600.0}
MOST_PREFIXES = 10_000

_known: dict[bytes, float] = {}


def cached_usage(body: dict[str, Any], prompt_tokens: int) -> dict[str, Any]:
    """The input's part of usage: three counts that add up to the prompt."""
    now = clock.monotonic()
    read = before = 0
    written = {"5m": 0, "1h": 0}
    for key, tokens, lifetime in _prefixes(body, prompt_tokens):
        if tokens < LEAST_TOKENS:
            continue
        if _known.get(key, 0.0) > now:
            read, written = tokens, {"5m": 0, "1h": 0}
        else:
            written[lifetime] += tokens - max(before, read)
        before = tokens
        _remember(key, now + SECONDS[lifetime])
    fresh = prompt_tokens - read - sum(written.values())
    return {
        "input_tokens": fresh,
        "cache_creation_input_tokens": sum(written.values()),
        "cache_read_input_tokens": read,
        "cache_creation": {f"ephemeral_{name}_input_tokens": count for name, count in written.items()},
    }


def _prefixes(body: dict[str, Any], prompt_tokens: int) -> Iterator[tuple[bytes, int, str]]:
    """The prefixes that are marked: their key, how many tokens they have, and for how long they are kept."""
    key, size = digest(body.get("model")), 0
    blocks = list(_blocks(body))
    for at, block in enumerate(blocks):
        mark = block.get("cache_control") or (body.get("cache_control") if at == len(blocks) - 1 else None)
        bare = orjson.dumps({name: value for name, value in block.items() if name != "cache_control"})
        key, size = digest(key.hex(), bare.decode()), size + len(bare)
        if mark:
            yield key, min(size // BYTES_PER_TOKEN, prompt_tokens), mark.get("ttl", "5m")


def _blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from body.get("tools") or ()
    yield from _listed(body.get("system"))
    for message in body["messages"]:
        yield from ({**block, "role": message["role"]} for block in _listed(message.get("content")))


def _listed(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else [{"type": "text", "text": content or ""}]


def _remember(key: bytes, until: float) -> None:
    _known[key] = until
    if len(_known) > MOST_PREFIXES:
        del _known[next(iter(_known))]
