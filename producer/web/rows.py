"""The document row of a route, declared with it, and the parts that rows are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from shared.errors import FusionError
from shared.permissions import Permission

Schema = dict[str, Any]

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer: schemas by media type; a model for JSON, a schema for anything else."""

    description: str
    content: Mapping[str, Any]
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One operation; path, method and summary (the first line of the function's docstring) come from the route.

    `body`: a component schema's name; `takes`: its media type; `examples`: bodies that work as they stand, by what
    they show; the suite sends each of them to a running stack.
    """

    tag: str
    answers: Mapping[int, Answer]
    body: str | None = None
    takes: str = JSON
    #: Parameters, or names of `producer.openapi.parts.PARAMETERS`.
    parameters: tuple[str | Schema, ...] = ()
    #: Beside those that every route has.
    errors: tuple[type[FusionError], ...] = ()
    #: It does its thing once for an Idempotency-Key.
    once: bool = False
    keyless: bool = False
    #: It takes the operator's password in place of a key.
    operator: bool = False
    #: The permission that it needs of the key, where that is not the one of its tag (`producer.web.permissions`).
    needs: Permission | Literal["nothing"] | None = None
    #: The body may be left out.
    optional: bool = False
    examples: Mapping[str, Any] = field(default_factory=dict)


def one(description: str, model: Any, *headers: str) -> dict[int, Answer]:
    """A 200 with a JSON body."""
    return {200: Answer(description, {JSON: model}, headers)}


def binary(*types: str) -> dict[str, Schema]:
    """The content of an answer that is bytes, of one of these media types."""
    return {type: {"type": "string", "format": "binary"} for type in types}


def query(name: str, schema: Schema, description: str) -> Schema:
    """A query parameter that may be left out."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def header(name: str, schema: Schema, description: str) -> Schema:
    """A request header that may be left out."""
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


#: Parameters of a list.
PAGE: Final = ("limit", "after", "order")
