"""Guarantees JSON mode: whether an answer is a JSON object, and how another call is asked to put it right. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

#: Begins and ends a block of Markdown, which models put around JSON though they are told not to.
_FENCE: Final = "```"
#: Nothing that it says depends on the request.
REPAIR: Final = (
    "Your last message is not a valid JSON object. Answer the request again with one valid JSON object and nothing "
    "else: no explanation, no code block."
)
#: Of an answer that is shown again, bytes for each token that an answer may have.
BYTES_PER_TOKEN: Final = 4


def has_schema(request: Mapping[str, Any]) -> bool:
    """Whether the JSON has to be of a schema."""
    return bool((request.get("response_format") or {}).get("type") == "json_schema")


def wanted(request: Mapping[str, Any]) -> bool:
    """Whether a chat request is one in JSON mode."""
    return bool((request.get("response_format") or {}).get("type", "text") != "text")


def read(content: str | None, *, of_schema: bool = False) -> str | None:
    """The JSON object that an answer is, as text, without a code block around it; None: it is none.

    `of_schema`: a schema was asked for, whose values may be other than objects.

    >>> read('{"a": 1}'), read('[1]'), read('```json\\n{"a": 1}\\n```'), read('{"a": NaN}'), read('Sure: {}')
    ('{"a": 1}', None, '{"a": 1}', None, None)
    """
    text = (content or "").strip()
    if text.startswith(_FENCE) and text.endswith(_FENCE):
        text = text.partition("\n")[2].removesuffix(_FENCE).strip()
    try:
        found = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    return text if of_schema or isinstance(found, dict) else None


def _refused(constant: str) -> None:
    raise ValueError(constant)


def repair(messages: Sequence[dict[str, Any]], content: str | None, limit: int) -> list[dict[str, Any]]:
    """The messages of the call that puts an answer right; `limit`: the tokens that an answer may have."""
    shown = (content or "").encode(errors="replace")[: limit * BYTES_PER_TOKEN].decode(errors="ignore")
    return [*messages, {"role": "assistant", "content": shown or "{"}, {"role": "user", "content": REPAIR}]


def repair_bound(limit: int) -> int:
    """The most tokens that this adds to the request."""
    return limit * BYTES_PER_TOKEN + len(REPAIR.encode())
