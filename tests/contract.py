"""The API's document as a judge of real answers: none may have a field that it does not name."""

import json
from functools import lru_cache
from typing import Any

import httpx
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
    strict = json.loads(json.dumps(document()))
    _close(strict["components"]["schemas"])
    return schemathesis.openapi.from_dict(strict, config=config)


def check(method: str, path: str, answer: httpx.Response) -> None:
    """Fail unless the answer of an operation is one that the document promises; `path` as the document writes it."""
    operation = _judge()[path][method]
    assert str(answer.status_code) in document()["paths"][path][method.lower()]["responses"], answer.text
    answer.request.read()
    operation.validate_response(answer)


def operations() -> list[Operation]:
    """What the document describes, with the rows that it is made of."""
    return document_module.operations(make_app().routes)


@lru_cache(maxsize=1)
def _judge() -> Any:
    return judge()


def _close(node: Any) -> None:
    if isinstance(node, dict):
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        for value in node.values():
            _close(value)
    elif isinstance(node, list):
        for item in node:
            _close(item)
