"""Builds the OpenAPI document from the app's routes, their rows, and the parts of the dialects."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import getdoc
from typing import Final

from starlette.routing import BaseRoute

from producer.openapi import parts
from producer.openapi.schemas import definitions, schema_of
from producer.web.dialect import Dialect, Dialects
from producer.web.router import DocumentedRoute
from producer.web.rows import Answer, Row, Schema
from shared.errors import (
    Forbidden,
    FusionError,
    IdempotencyMismatch,
    InternalError,
    InvalidRequest,
    PayloadTooLarge,
    RateLimited,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)

#: Of the routes that are no dialect's.
SERVICE: Final = {"Service": "Health checks, metrics and this document. No API key required."}

#: The security scheme of the operator's routes.
OPERATOR: Final = "OperatorPassword"
_PASSWORD: Final[Schema] = {
    "type": "http",
    "scheme": "bearer",
    "description": "The operator's password (`FUSIONAI_OPERATOR_PASSWORD`, or the one that `fusionai up` made).",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """A route of the app: `id` is unique, `name` is its function's; `dialect`: whose it is, if it is one's."""

    id: str
    name: str
    path: str
    method: str
    summary: str
    row: Row
    dialect: Dialect | None

    @property
    def mark(self) -> str:
        """Before its id, and before the names of its refusals."""
        return self.dialect.document.mark if self.dialect else ""


def operations(routes: Sequence[BaseRoute]) -> list[Operation]:
    """Every route that has a row."""
    found: defaultdict[tuple[str, str], list[tuple[str, str, DocumentedRoute]]] = defaultdict(list)
    for route in routes:
        if isinstance(route, DocumentedRoute) and route.doc is not None:
            mark = route.owner.document.mark if route.owner else ""
            for method in sorted(route.methods or ()):
                found[mark, route.name].append((re.sub(r":\w+}", "}", route.path), method, route))
    return [made for (mark, name), places in found.items() for made in _named(mark, name, places)]


def _named(mark: str, name: str, places: Sequence[tuple[str, str, DocumentedRoute]]) -> Iterator[Operation]:
    """The shortest path has the function's name for its id; another adds its last step."""
    ordered = sorted(places, key=lambda place: len(place[0]))
    for index, (path, method, route) in enumerate(ordered):
        id = f"{mark}{name}" if not index else f"{mark}{name}_{path.rpartition('/')[2]}"
        summary = (getdoc(route.endpoint) or "").partition("\n")[0]
        assert route.doc is not None
        yield Operation(id, name, path, method, summary, route.doc, route.owner)


def build(routes: Sequence[BaseRoute], dialects: Dialects) -> Schema:
    """The document of these routes, without those that have no row."""
    every, native = operations(routes), dialects.native
    paths: defaultdict[str, Schema] = defaultdict(dict)
    for operation in every:
        paths[operation.path][operation.method.lower()] = _operation(operation, operation.dialect in (None, native))
    spoken = [one.document for one in dialects.every]
    return {
        "openapi": "3.1.0",
        "info": {"title": "FusionAI", "version": "v1", "description": "\n".join(one.about for one in spoken)},
        "servers": [{"url": "/", "description": "This server. Paths under /v1 also work without /v1."}],
        "security": _security(native),
        "tags": [{"name": name, "description": said} for name, said in tags(dialects).items()],
        "paths": dict(paths),
        "webhooks": {name: hook for one in spoken for name, hook in one.webhooks.items()},
        "components": {
            "schemas": {**_models(every), **{name: made for one in spoken for name, made in one.schemas().items()}},
            "parameters": dict(parts.PARAMETERS),
            "headers": {**parts.HEADERS, **{name: made for one in spoken for name, made in one.headers.items()}},
            "responses": {name: made for one in dialects.every for name, made in parts.error_answers(one).items()},
            "securitySchemes": {
                **{name: scheme for one in spoken for name, scheme in one.security.items()},
                **({OPERATOR: _PASSWORD} if any(one.row.operator for one in every) else {}),
            },
        },
    }


def tags(dialects: Dialects) -> dict[str, str]:
    """All tags, in the order in which they are shown."""
    return {**{name: said for one in dialects.every for name, said in one.document.tags.items()}, **SERVICE}


def _security(dialect: Dialect) -> list[Schema]:
    return [{name: []} for name in dialect.document.security]


def _models(every: Sequence[Operation]) -> dict[str, Schema]:
    """The component schemas of what is answered."""
    answers = [answer for operation in every for answer in operation.row.answers.values()]
    models = [model for answer in answers for model in answer.content.values() if not isinstance(model, dict)]
    return definitions(models)


def _operation(operation: Operation, usual: bool) -> Schema:
    """`usual`: its key is sent as the document says for all."""
    row = operation.row
    shown: Schema = {"operationId": operation.id, "summary": operation.summary, "tags": [row.tag]}
    if parameters := list(_parameters(operation)):
        shown["parameters"] = parameters
    if row.body:
        shown["requestBody"] = _body(row)
    shown["responses"] = _responses(operation)
    if row.keyless:
        shown["security"] = []
    elif row.operator:
        shown["security"] = [{OPERATOR: []}]
    elif operation.dialect and not usual:
        shown["security"] = _security(operation.dialect)
    return shown


def _parameters(operation: Operation) -> Iterator[Schema]:
    for name in re.findall(r"{(\w+)}", operation.path):
        yield parts.in_path(name)
    for parameter in (*operation.row.parameters, *(["IdempotencyKey"] if operation.row.once else [])):
        named = isinstance(parameter, str)
        yield {"$ref": f"#/components/parameters/{parameter}"} if named else parameter  # type: ignore[misc]


def _body(row: Row) -> Schema:
    content: Schema = {"schema": {"$ref": f"#/components/schemas/{row.body}"}}
    if row.examples:
        content["examples"] = {title: {"value": value} for title, value in row.examples.items()}
    return {"required": not row.optional, "content": {row.takes: content}}


def _responses(operation: Operation) -> Schema:
    made = {str(status): _answer(answer) for status, answer in operation.row.answers.items()}
    for kind in _errors(operation.row):
        made.setdefault(str(kind.status), {"$ref": f"#/components/responses/{operation.mark}{kind.__name__}"})
    return dict(sorted(made.items()))


def _errors(row: Row) -> Iterator[type[FusionError]]:
    yield from row.errors
    if row.body:
        yield from (PayloadTooLarge, UnsupportedMediaType)
    if row.once:
        yield IdempotencyMismatch
    if not row.keyless:
        yield from (InvalidRequest, Unauthorized, Forbidden, RateLimited, Unavailable)
    yield InternalError


def _answer(answer: Answer) -> Schema:
    content = {type: {"schema": schema_of(model)} for type, model in answer.content.items()}
    shown: Schema = {"description": answer.description, "headers": parts.refer(*parts.EVERY, *answer.headers)}
    return {**shown, "content": content} if content else shown
