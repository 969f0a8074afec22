"""Schemas of types, as components of the document."""

import re
from collections.abc import Sequence
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from producer.web.rows import Schema

REF: Final = "#/components/schemas/{model}"


def definitions(types: Sequence[Any]) -> dict[str, Schema]:
    """The component schemas of types, and of what they are made of, by name; alternatives stand for themselves."""
    plain = dict.fromkeys(part for type in types for part in (get_args(type) if _is_union(type) else [type]))
    adapters: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]]
    adapters = [(repr(type), "validation", TypeAdapter(type)) for type in plain]
    _, made = TypeAdapter.json_schemas(adapters, ref_template=REF)
    return {name_of(name): _tidy(schema) for name, schema in made.get("$defs", {}).items()}


def _is_union(type: Any) -> bool:
    return isinstance(type, UnionType) or get_origin(type) is Union


def name_of(title: str) -> str:
    """`List_Job_` → `JobPage`."""
    return re.sub(r"\bList_(\w+)_$", r"\1Page", title)


def _tidy(node: Any) -> Any:
    """Without titles, which only repeat names, and without defaults that say nothing."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for key, value in node.items():
        if (key == "title" and isinstance(value, str)) or (key == "default" and value is None):
            continue
        kept[key] = name_of(value) if key == "$ref" else _tidy(value)
    return kept


def schema_of(type: Any) -> Schema:
    """A reference to the schema of a type, or to those of its alternatives; a schema stands for itself."""
    if isinstance(type, dict):
        return type
    if _is_union(type):
        return {"anyOf": [schema_of(part) for part in get_args(type)]}
    name = "_".join(part.__name__ for part in (type, *get_args(type)))
    return {"$ref": REF.format(model=name_of(f"{name}_") if get_args(type) else name)}
