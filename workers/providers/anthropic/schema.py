"""JSON schemas as structured outputs and strict tools take them: what is not enforced there becomes words. Pure.

Source: platform.claude.com/docs/en/build-with-claude/structured-outputs (JSON Schema limitations). Objects have to say
that they have no other fields; bounds of numbers, texts and lists are refused. The official clients put those into the
description, where the model may follow them, and so is it done here.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

_NOT_ENFORCED: Final = frozenset(
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems uniqueItems "
    "minProperties maxProperties".split()
)
#: Formats of texts that are enforced.
_FORMATS: Final = frozenset("date-time time date duration email hostname uri ipv4 ipv6 uuid".split())
#: Where schemas stand within a schema: by name, in a list, alone.
_BY_NAME: Final = frozenset({"properties", "$defs", "definitions"})
_LISTED: Final = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}


def enforceable(schema: Any) -> Any:
    """A copy of a schema that the provider takes.

    >>> enforceable({"type": "integer", "minimum": 1})
    {'type': 'integer', 'description': '{"minimum":1}'}
    """
    if not isinstance(schema, Mapping):
        return schema
    made, words = {}, {}
    for name, value in schema.items():
        if _is_words(name, value):
            words[name] = value
        else:
            other, kept = _within(name, value)
            made[other] = kept
    if schema.get("type") == "object" or (isinstance(schema.get("type"), list) and "object" in schema["type"]):
        made["additionalProperties"] = False
    if words:
        said = made.get("description")
        told = orjson.dumps(words).decode()
        made["description"] = f"{said}\n\n{told}" if said else told
    return made


def _is_words(name: str, value: Any) -> bool:
    if name == "format":
        return isinstance(value, str) and value not in _FORMATS
    return name in _NOT_ENFORCED and not (name == "minItems" and value in (0, 1))


def _within(name: str, value: Any) -> tuple[str, Any]:
    if name in _BY_NAME and isinstance(value, Mapping):
        return name, {key: enforceable(one) for key, one in value.items()}
    if name in _LISTED and isinstance(value, list):
        return _LISTED[name], [enforceable(one) for one in value]
    return name, enforceable(value) if name == "items" else value
