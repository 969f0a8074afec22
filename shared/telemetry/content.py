"""What was asked and answered, in spans: only where the variable of the conventions for that asks for it."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from shared import environment
from shared.telemetry.spans import MOST_LETTERS

VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
#: The values that ask for it in spans; there are others, which ask for it elsewhere.
_ASKING: Final = ("true", "span_only", "span_and_event")


@lru_cache(maxsize=1)
def wanted() -> bool:
    """Whether it is asked for."""
    return environment.usual(VARIABLE).get(VARIABLE, "").strip().lower() in _ASKING


def asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """Of a request: its messages, prompt or input; nothing where it is not asked for."""
    found = request.get("messages") or request.get("prompt") or request.get("input")
    return {"gen_ai__input__messages": _text(found)} if wanted() and found else {}


def answered(body: Mapping[str, Any]) -> dict[str, Any]:
    """Of an answer: its messages, of chats alone."""
    found = [one.get("message") for one in body.get("choices") or ()]
    return {"gen_ai__output__messages": _text(found)} if wanted() and found else {}


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()[:MOST_LETTERS]
