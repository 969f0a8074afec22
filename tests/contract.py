"""The API's document as a judge of real answers: none may have a field that it does not name."""

import json
import re
from functools import lru_cache
from typing import Any

import httpx
import jsonschema_rs
import orjson
import schemathesis

from producer.app import make_app
from producer.openapi import document as document_module
from producer.openapi.document import Operation

Document = dict[str, Any]


@lru_cache(maxsize=1)
def document() -> Document:
    """The document of the app as it is."""
    made: Document = json.loads(make_app().state.document.content)
    return made


def judge(config: schemathesis.Config | None = None) -> Any:
    """The document as Schemathesis's schema, every object of an answer closed."""
    return schemathesis.openapi.from_dict(_closed(), config=config)


def check(method: str, path: str, answer: httpx.Response) -> None:
    """Fail unless the answer of an operation is one that the document promises; `path` as the document writes it."""
    operation = _judge()[path][method]
    assert str(answer.status_code) in document()["paths"][path][method.lower()]["responses"], answer.text
    answer.request.read()
    operation.validate_response(answer)


def check_object(name: str, value: Any) -> None:
    """Fail unless a value, as it would be sent, is an object of that name and has no field beside."""
    _validator(f"#/components/schemas/{name}").validate(orjson.loads(orjson.dumps(value)))


def watch(answer: httpx.Response) -> None:
    """Fail unless an answer in JSON is what the document promises; a hook for any client of a running stack.

    What the document does not show is let pass: other paths and methods, streams, files. A refusal with a status that
    it does not name for the operation has at least the shape of an error.
    """
    template = _template(answer.request.url.path)
    operation = document()["paths"].get(template, {}).get(answer.request.method.lower())
    if operation is None or answer.headers.get("content-type") != "application/json":
        return
    answer.read()
    place = f"#/paths/{_escaped(template)}/{answer.request.method.lower()}/responses/{answer.status_code}"
    shown = operation["responses"].get(str(answer.status_code))
    if shown is None:
        assert answer.status_code >= 400, f"{place} is not in the document"
        pointer = "#/components/schemas/Error"
    else:
        pointer = f"{shown.get('$ref', place)}/content/application~1json/schema"
    _validator(pointer).validate(answer.json())


def _escaped(path: str) -> str:
    """A path as a step of a JSON pointer in a fragment."""
    return path.replace("/", "~1").replace("{", "%7B").replace("}", "%7D")


def _template(path: str) -> str:
    """The path of the document that a request's path is one of; as it is when there is none."""
    paths = document()["paths"]
    found = path if path in paths or path.startswith("/v1/") or f"/v1{path}" in paths else f"/v1{path}"
    found = found if found in paths or f"/v1{found}" not in paths else f"/v1{found}"
    return found if found in paths else next((name for name, like in _templates() if like.fullmatch(found)), found)


@lru_cache(maxsize=1)
def _templates() -> list[tuple[str, re.Pattern[str]]]:
    """Paths with ids in them; that of a model may have more steps."""
    named = [name for name in document()["paths"] if "{" in name]
    step = {name: ".+" if name == "/v1/models/{id}" else "[^/]+" for name in named}
    return [(name, re.compile(re.sub(r"{\w+}", lambda _, name=name: step[name], name))) for name in named]


@lru_cache
def _validator(pointer: str) -> Any:
    return jsonschema_rs.Draft202012Validator({**_closed(), "$ref": pointer})


def operations() -> list[Operation]:
    """What the document describes, with the rows that it is made of."""
    return document_module.operations(make_app().routes)


@lru_cache(maxsize=1)
def _judge() -> Any:
    return judge()


def _closed() -> Document:
    strict: Document = json.loads(json.dumps(document()))
    _close(strict["components"]["schemas"])
    return strict


def _close(node: Any) -> None:
    if isinstance(node, dict):
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        for value in node.values():
            _close(value)
    elif isinstance(node, list):
        for item in node:
            _close(item)
