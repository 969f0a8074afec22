"""The document against the code that it describes: every route, every shape, every kind of error, every example."""

import json
from collections.abc import Iterator
from typing import Any, get_type_hints

import httpx
import jsonschema_rs
import pytest
import schemathesis
from typing_extensions import is_typeddict

from fusionai.plain import objects as client_objects
from producer import objects
from producer.app import make_app
from producer.dialects import DIALECTS
from producer.openapi import requests, serving
from producer.openapi.document import SERVICE
from producer.web.router import DocumentedRoute
from shared.errors import FusionError, InvalidRequest, ProviderError
from shared.submissions.answer_options import AnswerFields
from shared.submissions.schemas import REQUESTS, read_submission
from tests import contract

DOCUMENT = contract.document()
ROWS = {operation.name: operation.row for operation in contract.operations()}
EXAMPLES = {name: row.examples for name, row in ROWS.items() if row.examples}
TAGS = {tag for one in DIALECTS for tag in one.document.tags} | set(SERVICE)
SCHEMAS = DOCUMENT["components"]["schemas"]
#: Answers that are shown while a page is opened, not called by a program.
HIDDEN = {"/docs/{name}"}


def shown() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def valid(name: str, value: Any) -> bool:
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
    return bool(jsonschema_rs.Draft202012Validator(schema).is_valid(value))


def test_it_is_valid_openapi() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_every_route_has_a_row() -> None:
    assert [route.path for one in DIALECTS for route in one.router.routes if route.doc is None] == []
    own = [route for route in make_app().routes if isinstance(route, DocumentedRoute) and route.owner is None]
    assert {route.path for route in own if route.doc is None} == HIDDEN


def test_every_path_and_method_of_the_app_is_shown_and_no_other() -> None:
    served = {
        (route.path.replace(":path}", "}"), method.lower())
        for route in make_app().routes
        for method in route.methods or ()
    }
    documented = {(path, method) for path, method, _ in shown()}
    without_prefix = {(path.removeprefix("/v1"), method) for path, method in documented}
    assert documented <= served
    assert {path for path, _ in served - documented - without_prefix} == HIDDEN


def test_operations_can_be_told_apart_and_say_what_they_do() -> None:
    ids = [operation["operationId"] for _, _, operation in shown()]
    assert len(set(ids)) == len(ids)
    for path, method, operation in shown():
        assert operation["summary"].endswith("."), (method, path)
        assert set(operation["tags"]) <= TAGS
    summaries = [operation["summary"] for path, _, operation in shown() if not path.endswith("/generations")]
    assert len(set(summaries)) == len(summaries)


def test_every_reference_leads_somewhere() -> None:
    def follow(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(target := node.get("$ref"), str):
                place: Any = DOCUMENT
                for step in target.removeprefix("#/").split("/"):
                    place = place[step]
            for value in node.values():
                follow(value)
        elif isinstance(node, list):
            for item in node:
                follow(item)

    follow(DOCUMENT)


def test_every_kind_of_error_is_described_with_its_status_and_type() -> None:
    kinds = {kind for base in FusionError.__subclasses__() for kind in base.__subclasses__()} - {ProviderError}
    answers = DOCUMENT["components"]["responses"]
    assert {one.document.mark + kind.__name__ for one in DIALECTS for kind in kinds} == set(answers)
    for kind in kinds:
        example = answers[kind.__name__]["content"]["application/json"]["example"]
        assert (example["error"]["code"], example["error"]["type"]) == (kind.status, kind.type)
        assert valid("Error", example)


def test_every_operation_with_a_key_may_be_refused() -> None:
    for _, _, operation in shown():
        keyless = operation.get("security") == []
        assert keyless == ("401" not in operation["responses"])
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= set(operation["responses"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_fit_their_schemas(name: str) -> None:
    for example in EXAMPLES[name].values():
        assert valid(str(ROWS[name].body), example)


def test_every_body_of_json_has_an_example() -> None:
    assert {name for name, row in ROWS.items() if row.body and row.takes == "application/json"} == set(EXAMPLES)


@pytest.mark.parametrize("type", REQUESTS)
def test_the_fields_of_a_request_are_those_that_are_read(type: Any) -> None:
    documented = SCHEMAS[requests.OF_TYPE[type].__name__]["properties"]
    read = {field.alias or name for name, field in REQUESTS[type].model_fields.items()}
    beside = {"linked_context", *AnswerFields.model_fields} if type == "chat.completion" else set()
    named = {"model", "metadata", "routing", "callback_url", "on_insufficient_credits"}
    assert set(documented) == read | beside | named


BODIES: list[tuple[Any, dict[str, Any]]] = [
    ("chat.completion", {"messages": [{"role": "user", "content": "hi"}]}),
    ("embedding", {"input": "hi"}),
    ("image", {"prompt": "a cat"}),
]
CHANGES: list[dict[str, Any]] = [
    {}, {"model": None}, {"model": ""}, {"model": 5}, {"metadata": {}}, {"metadata": None}, {"metadata": []},
    {"metadata": {"k": "v" * 513}}, {"metadata": {"k" * 65: "v"}}, {"metadata": {"k": 1}},
    {"metadata": {str(n): "" for n in range(17)}},
    {"routing": None}, {"routing": {}}, {"routing": {"budget": "cheap"}}, {"routing": {"fallbacks": ["gpt-4"] * 4}},
    {"n": 0}, {"n": None}, {"n": "1"}, {"unknown": 1}, {"user": "u" * 513}, {"user": None}, {"messages": []},
    {"temperature": 2.1}, {"temperature": None}, {"input": []}, {"prompt": ""}, {"response_format": None},
]  # fmt: skip


@pytest.mark.parametrize(("type", "body"), BODIES)
@pytest.mark.parametrize("change", CHANGES, ids=json.dumps)
def test_the_schema_takes_what_is_taken_and_refuses_what_is_refused(
    type: Any, body: dict[str, Any], change: dict[str, Any]
) -> None:
    asked = {"model": "gpt-4", **body, **change}
    try:
        read_submission(type, asked)
        taken = True
    except InvalidRequest:
        taken = False
    assert valid(requests.OF_TYPE[type].__name__, asked) == taken
    assert valid("JobRequest", {"type": type, **asked}) == taken


@pytest.mark.parametrize("shape", ["File", "RequestCounts", "Fault", "Faults", "Batch", "DryRun", "Job", "Attempt"])
def test_the_python_client_knows_objects_by_the_same_fields(shape: str) -> None:
    fields = set(get_type_hints(getattr(objects, shape)))
    assert set(get_type_hints(getattr(client_objects, shape))) == fields == set(SCHEMAS[shape]["properties"])


def test_every_type_of_an_object_is_in_the_document() -> None:
    """But for what only files have, and for parts of others."""
    apart = {"BatchResult", "LineError", "LineRequest", "LineResponse", "List", "Quoted", "Afforded", "Flags"}
    types = {name for name, one in vars(objects).items() if is_typeddict(one)}
    assert types - apart <= set(SCHEMAS)


def test_the_page_names_no_other_host() -> None:
    assert "//" not in serving._PAGE and "//" not in serving._POLICY


def test_whatever_a_key_asks_for_may_be_a_429() -> None:
    """A key has limits on every route."""
    keyed = [operation for _, _, operation in shown() if operation.get("security") != []]
    assert keyed and all("429" in operation["responses"] for operation in keyed)


MODEL = {
    "id": "a/b", "object": "model", "created": 1, "owned_by": "openai", "provider": "openai", "type": "embedding",
    "purpose": "", "max_output_tokens": None, "context_tokens": None, "capabilities": None,
    "price": {"unit": "micro-credits per million tokens", "version": "1"},
}  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/models/a/b", "/models/a/b"])
@pytest.mark.parametrize(
    ("status", "body", "fits"),
    [
        (200, MODEL, True),
        (200, {**MODEL, "undocumented": 1}, False),
        (200, {**MODEL, "price": {**MODEL["price"], "undocumented": 1}}, False),
        (201, MODEL, False),
        (404, {"error": {"message": "", "type": "not_found", "code": 404, "request_id": "req_1"}}, True),
        (404, {"error": {"message": "", "type": "conflict", "code": 404, "request_id": "req_1"}}, False),
        (418, {"error": {"message": "", "type": "not_found", "code": 418, "request_id": "req_1"}}, True),
        (418, {"errors": []}, False),
    ],
)
def test_whoever_watches_answers_sees_what_is_not_documented(path: str, status: int, body: Any, fits: bool) -> None:
    answer = httpx.Response(status, json=body, request=httpx.Request("GET", f"http://x{path}"))
    if fits:
        contract.watch(answer)
    else:
        with pytest.raises((AssertionError, jsonschema_rs.ValidationError)):
            contract.watch(answer)
