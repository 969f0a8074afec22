"""JSON schemas as structured outputs take them. Pure.

Source: platform.claude.com/docs/en/build-with-claude/structured-outputs (JSON Schema limitations).
"""

from typing import Any


def closed(schema: Any) -> Any:
    """A copy in which every object says that it has no other fields, which the provider requires.

    >>> closed({"type": "object", "properties": {"a": {"type": "string"}}})["additionalProperties"]
    False
    """
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    return made | {"additionalProperties": False} if schema.get("type") == "object" else made
