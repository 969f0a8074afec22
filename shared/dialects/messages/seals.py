"""What a provider wants back with a call of a tool, sealed into a block before it that clients give back unread.

Source: platform.claude.com/docs/en/build-with-claude/extended-thinking ("Thinking redaction": the `data` of a
`redacted_thinking` block is opaque, and goes back as it came). Gemini's signatures have no place of their own in
Messages (ai.google.dev/gemini-api/docs/thought-signatures: without them it refuses its calls of tools). Those of texts,
which it takes without, are not shown: a client reads an answer's first block, or its last, as its text.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final

import orjson

from shared import strict_json

#: How the data of a sealed block begins; that of Anthropic is base64, which has no dot.
_MARK: Final = "fusionai."


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The block."""
    return {"type": "redacted_thinking", "data": _MARK + base64.b64encode(orjson.dumps(content)).decode()}


def unsealed(data: str) -> dict[str, Any] | None:
    """What was sealed; None: it is another's block, or broken.

    >>> unsealed(sealed({"google": {"thought_signature": "x"}})["data"]), unsealed("EmwK")
    ({'google': {'thought_signature': 'x'}}, None)
    """
    if not data.startswith(_MARK):
        return None
    try:
        content = strict_json.within(base64.b64decode(data.removeprefix(_MARK), validate=True))
    except ValueError:  # binascii.Error, or a text that is not ASCII
        return None
    return content if isinstance(content, dict) else None


def is_sealed(data: str) -> bool:
    """Whether a block's data is of this form; a broken one is no provider's thought either."""
    return data.startswith(_MARK)
