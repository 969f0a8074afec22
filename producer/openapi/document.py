"""Builds the document: the app's own routes, described by the rows of the table."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import getdoc
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute, Route

from producer.openapi import answers, parts, requests
from producer.openapi.examples import EXAMPLES
from producer.openapi.parts import Schema
from producer.openapi.rows import JSON, ROWS, TAGS, Answer, Row
from shared.errors import (
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

#: Routes under it also answer without it; the document shows them once.
PREFIX: Final = "/v1"
_REF: Final = "#/components/schemas/{model}"

_ABOUT: Final = """One API in front of many AI providers, built around a durable queue: every call is a job that is
accepted, run and charged exactly once.

The base URL for SDKs is the address of this server followed by `/v1`; the same routes also work without `/v1`.

Credits are prepaid. Requests with a test key (`fusionai_test_…`) run on a sandbox and are never charged.
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """A route of the app: `id` is unique, `name` is its row's."""

    id: str
    name: str
    path: str
    method: str
    summary: str


def operations(routes: Sequence[BaseRoute]) -> list[Operation]:
    """Every route that is not hidden (`include_in_schema=False`), those of /v1 once."""
    found: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for route in _shown(routes):
        for method in sorted(route.methods or ()):
            path = re.sub(r":\w+}", "}", route.path)
            found[route.name].append((path, method, (getdoc(route.endpoint) or "").partition("\n")[0]))
    return [made for name, places in found.items() for made in _named(name, places)]


def _shown(routes: Sequence[BaseRoute]) -> Iterator[Route]:
    every = [route for route in routes if isinstance(route, Route) and route.include_in_schema]
    paths = {(route.path, method) for route in every for method in route.methods or ()}
    for route in every:
        if not any((f"{PREFIX}{route.path}", method) in paths for method in route.methods or ()):
            yield route


def _named(name: str, places: Sequence[tuple[str, str, str]]) -> Iterator[Operation]:
    """The shortest path has the function's name for its id; another adds its last step."""
    first, *others = sorted(places, key=lambda place: len(place[0]))
    yield Operation(name, name, *first)
    for path, method, summary in others:
        yield Operation(f"{name}_{path.rpartition('/')[2]}", name, path, method, summary)


def build(routes: Sequence[BaseRoute]) -> Schema:
    """The document of these routes, without those that have no row (a test says which)."""
    paths: defaultdict[str, Schema] = defaultdict(dict)
    for operation in operations(routes):
        if row := ROWS.get(operation.name):
            paths[operation.path][operation.method.lower()] = _operation(operation, row)
    return {
        "openapi": "3.1.0",
        "info": {"title": "FusionAI", "version": "v1", "description": _ABOUT},
        "servers": [{"url": "/", "description": "This server. Paths under /v1 also work without /v1."}],
        "security": [{"ApiKey": []}],
        "tags": [{"name": name, "description": said} for name, said in TAGS.items()],
        "paths": dict(paths),
        "webhooks": {"event": {"post": _EVENT}},
        "components": {
            "schemas": schemas(),
            "parameters": dict(parts.PARAMETERS),
            "headers": dict(parts.HEADERS),
            "responses": parts.error_answers(),
            "securitySchemes": {"ApiKey": _API_KEY},
        },
    }


_API_KEY: Final[Schema] = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key: `fusionai_live_…` or `fusionai_test_…`. A request with more than one authentication "
    "header is refused with 400.",
}
_EVENT: Final[Schema] = {
    "operationId": "receive_event",
    "summary": "The request that a webhook endpoint receives.",
    "description": "Events are delivered at least once; use the id of the event to recognize duplicates. Verify "
    "either signature: `FusionAI-Signature` is the HMAC-SHA256 of `t.body`, keyed with the whole `whsec_…` string; the "
    "other three headers follow Standard Webhooks. Any response other than 2xx is retried for about three days, with "
    "the same id and body and a new signature. A 410 disables the webhook. Redirects are not followed: the delivery "
    "records where the redirect leads, and fails after the second one; register the final URL instead. After a 429 or "
    "503 with Retry-After, nothing is sent to the webhook for that time, up to one hour. Events of test keys have "
    "`test: true` and are sent only to webhooks of test keys.",
    "tags": ["Webhooks"],
    "security": [],
    "parameters": [
        parts.header(name, {"type": "string"}, said)
        for name, said in {
            "FusionAI-Signature": "`t=<Unix time>,v1=<hex>`, with one `v1` per valid secret while a rotation is in "
            "progress.",
            "webhook-id": "The id of the event.",
            "webhook-timestamp": "The time of sending, as Unix time.",
            "webhook-signature": "`v1,<base64>`, with one signature per valid secret, separated by spaces, while a "
            "rotation is in progress.",
        }.items()
    ],
    "requestBody": {"content": {JSON: {"schema": {"$ref": _REF.format(model="Event")}}}},
    "responses": {"2XX": {"description": "The event was received."}},
}


def schemas() -> dict[str, Schema]:
    """The component schemas: of requests, of answers, of errors."""
    asked = _definitions(requests.SHAPES)
    requests.refine(asked)
    told = _definitions([answers.ChatCompletionChunk, answers.StreamError, *_models()], defaults=False)
    return {**asked, **told, "Error": parts.ERROR}


def _models() -> Iterator[Any]:
    for row in ROWS.values():
        for answer in row.answers.values():
            yield from (model for model in answer.content.values() if not isinstance(model, dict))


def _definitions(models: Sequence[Any], *, defaults: bool = True) -> dict[str, Schema]:
    plain = [model for model in models if isinstance(model, type) and issubclass(model, BaseModel)]
    unions = [part for model in models if model not in plain for part in model.__args__]
    wanted = [(model, "validation") for model in dict.fromkeys([*plain, *unions])]
    _, made = models_json_schema(wanted, ref_template=_REF)  # type: ignore[arg-type]
    return {_name(name): _tidy(schema, defaults=defaults) for name, schema in made["$defs"].items()}


def _name(title: str) -> str:
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
        kept[key] = _name(value) if key == "$ref" else _tidy(value, defaults=defaults)
    return kept


def _operation(operation: Operation, row: Row) -> Schema:
    shown: Schema = {"operationId": operation.id, "summary": operation.summary, "tags": [row.tag]}
    if parameters := list(_parameters(operation, row)):
        shown["parameters"] = parameters
    if row.body:
        shown["requestBody"] = _body(operation.name, row)
    shown["responses"] = _responses(row)
    if row.keyless:
        shown["security"] = []
    return shown


def _parameters(operation: Operation, row: Row) -> Iterator[Schema]:
    for name in re.findall(r"{(\w+)}", operation.path):
        yield parts.in_path(name)
    for parameter in (*row.parameters, *(["IdempotencyKey"] if row.once else [])):
        named = isinstance(parameter, str)
        yield {"$ref": f"#/components/parameters/{parameter}"} if named else parameter  # type: ignore[misc]


def _body(name: str, row: Row) -> Schema:
    content: Schema = {"schema": {"$ref": f"#/components/schemas/{row.body}"}}
    if name in EXAMPLES:
        content["examples"] = {title: {"value": value} for title, value in EXAMPLES[name].items()}
    return {"required": not row.optional, "content": {row.takes: content}}


def _responses(row: Row) -> Schema:
    made = {str(status): _answer(answer) for status, answer in row.answers.items()}
    for kind in _errors(row):
        made.setdefault(str(kind.status), {"$ref": f"#/components/responses/{kind.__name__}"})
    return dict(sorted(made.items()))


def _errors(row: Row) -> Iterator[type[FusionError]]:
    yield from row.errors
    if row.body:
        yield from (PayloadTooLarge, UnsupportedMediaType)
    if row.once:
        yield IdempotencyMismatch
    if not row.keyless:
        yield from (InvalidRequest, Unauthorized, RateLimited, Unavailable)
    yield InternalError


def _answer(answer: Answer) -> Schema:
    content = {type: {"schema": _schema(model)} for type, model in answer.content.items()}
    shown: Schema = {"description": answer.description, "headers": parts.refer(*parts.EVERY, *answer.headers)}
    return {**shown, "content": content} if content else shown


def _schema(model: Any) -> Schema:
    if isinstance(model, dict):
        return model
    if isinstance(model, type):
        return {"$ref": _REF.format(model=_name(re.sub(r"\W", "_", model.__name__)))}
    return {"anyOf": [_schema(part) for part in model.__args__]}
