"""Schemas of models, as components of the document."""

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from producer.web.rows import Schema

REF: Final = "#/components/schemas/{model}"


def definitions(models: Sequence[Any], *, defaults: bool = True) -> dict[str, Schema]:
    """The component schemas of models, and of what they are made of, by name."""
    plain = [model for model in models if isinstance(model, type) and issubclass(model, BaseModel)]
    unions = [part for model in models if model not in plain for part in model.__args__]
    wanted = [(model, "validation") for model in dict.fromkeys([*plain, *unions])]
    _, made = models_json_schema(wanted, ref_template=REF)  # type: ignore[arg-type]
    return {name_of(name): _tidy(schema, defaults=defaults) for name, schema in made["$defs"].items()}


def name_of(title: str) -> str:
    """`List_Job_` → `JobPage`."""
    return re.sub(r"\bList_(\w+)_$", r"\1Page", title)


def _tidy(node: Any, *, defaults: bool) -> Any:
    """Without titles, which only repeat names, and without defaults that say nothing."""
    if isinstance(node, list):
        return [_tidy(item, defaults=defaults) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for key, value in node.items():
        if key == "title" and isinstance(value, str):
            continue
        if key == "default" and (value is None or not defaults):
            continue
        kept[key] = name_of(value) if key == "$ref" else _tidy(value, defaults=defaults)
    return kept


def schema_of(model: Any) -> Schema:
    """What refers to a model, or to one of several; a schema is itself."""
    if isinstance(model, dict):
        return model
    if isinstance(model, type):
        return {"$ref": REF.format(model=name_of(re.sub(r"\W", "_", model.__name__)))}
    return {"anyOf": [schema_of(part) for part in model.__args__]}
