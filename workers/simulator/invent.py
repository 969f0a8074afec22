"""Plausible JSON for a JSON schema: tool arguments and structured answers. Deterministic; Gemini's capitals too."""

from dataclasses import dataclass
from typing import Any

#: Schemas may refer to themselves; below this depth optional fields are left out.
MAX_DEPTH = 6
#: Values, and characters of one text, that are made for one schema, whatever it asks for.
MOST_VALUES = 10_000
MOST_CHARACTERS = 10_000
FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}


@dataclass(slots=True)
class _Root:
    """The whole schema, and how many values may still be made for it."""

    schema: Any
    left: int = MOST_VALUES


def invent(schema: Any) -> Any:
    """A value that the schema accepts, as far as types, enums, formats and simple bounds go.

    A schema that is none, or wants more than MOST_VALUES, is a ValueError, LookupError, TypeError, AttributeError,
    ArithmeticError or RecursionError.
    """
    return _value(schema, _Root(schema), "value", 0)


def _value(schema: Any, root: _Root, name: str, depth: int) -> Any:
    root.left -= 1
    if root.left < 0:
        raise ValueError(f"the schema wants more than {MOST_VALUES} values")
    if not isinstance(schema, dict):
        return {}
    schema = _resolved(schema, root.schema, depth)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    maker = MAKERS.get(_type(schema))
    return maker(schema, root, name, depth) if maker else None


def _resolved(schema: dict[str, Any], root: Any, depth: int) -> dict[str, Any]:
    for _ in range(MAX_DEPTH):
        if isinstance(schema.get("$ref"), str):
            schema = _referred(schema["$ref"], root)
        elif choices := schema.get("anyOf") or schema.get("oneOf"):
            schema = {**schema, **_chosen(choices, depth), "anyOf": None, "oneOf": None}
        elif parts := schema.get("allOf"):
            schema = {**schema, **{k: v for part in parts for k, v in part.items()}, "allOf": None}
        else:
            break
    return schema


def _chosen(choices: list[dict[str, Any]], depth: int) -> dict[str, Any]:
    null = next((choice for choice in choices if choice.get("type") == "null"), None)
    return null if null is not None and depth >= MAX_DEPTH else choices[0]


def _referred(ref: str, root: Any) -> dict[str, Any]:
    found = root
    for part in ref.removeprefix("#").strip("/").split("/"):
        found = found.get(part, {}) if isinstance(found, dict) and part else found
    return found if isinstance(found, dict) else {}


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        kind = "array" if "items" in schema else "object"
    return str(kind).lower()


def _object(schema: dict[str, Any], root: _Root, name: str, depth: int) -> dict[str, Any]:
    fields = schema.get("properties") or {}
    required = schema.get("required") or []
    return {
        key: _value(part, root, key, depth + 1)
        for key, part in fields.items()
        if depth < MAX_DEPTH or (key in required and depth < 2 * MAX_DEPTH)
    }


def _array(schema: dict[str, Any], root: _Root, name: str, depth: int) -> list[Any]:
    least = int(schema.get("minItems", 0))
    size = max(least, 1) if depth < MAX_DEPTH else least
    return [_value(schema.get("items", {"type": "string"}), root, name, depth + 1) for _ in range(size)]


def _string(schema: dict[str, Any], root: _Root, name: str, depth: int) -> str:
    text = FORMATS.get(str(schema.get("format")), f"simulated {name}")
    text = text.ljust(min(int(schema.get("minLength", 0)), MOST_CHARACTERS), ".")
    return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def _number(schema: dict[str, Any], root: _Root, name: str, depth: int) -> int | float:
    least, most = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        least = schema["exclusiveMinimum"] + 1
    value = 1 if least is None else least
    value = value if most is None else min(value, most)
    step = schema.get("multipleOf")
    return step * -(-value // step) if step else value


MAKERS = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _number,
    "number": _number,
    "boolean": lambda *_: True,
}
