"""What holds in every dialect beside the native one: keys, refusals, hostile bodies, idempotency, waiting, limits."""

import json
import re
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from producer.dialects import DIALECTS
from producer.web.dialect import Dialect
from producer.web.rows import Row
from shared.errors import NotFound
from tests import contract
from tests.acceptance.hostile_bodies import chats, raw
from tests.acceptance.stack import Account, Stack


@dataclass(frozen=True)
class Call:
    """A POST of a dialect that makes a job, with a body that works."""

    dialect: Dialect
    path: str
    good: dict[str, Any]
    #: Headers that its route requires, with any value.
    headers: dict[str, str]

    @property
    def key_header(self) -> dict[str, str]:
        """The header of its key, with `{key}` in it."""
        scheme = next(iter(self.dialect.document.security.values()))
        return {"Authorization": "Bearer {key}"} if scheme["type"] == "http" else {scheme["name"]: "{key}"}


def _required(row: Row) -> dict[str, str]:
    given = [one for one in row.parameters if isinstance(one, dict) and one["required"]]
    return {one["name"]: one["schema"]["examples"][0] for one in given}


CALLS = [
    Call(dialect, dialect.prefixes[0] + route.path, next(iter(route.doc.examples.values())), _required(route.doc))
    for dialect in DIALECTS
    if dialect.prefixes[0] != "/v1"
    for route in dialect.router.routes
    if route.doc is not None and route.doc.once and route.doc.examples
]
#: Every route of these dialects: its method, its path in the document, and the headers that it requires.
ROUTES = [
    (method, re.sub(r":\w+}", "}", dialect.prefixes[0] + route.path), _required(route.doc))
    for dialect in DIALECTS
    if dialect.prefixes[0] != "/v1"
    for route in dialect.router.routes
    if route.doc is not None
    for method in sorted(route.methods or ())
]
#: Lists of tools that a dialect takes: Anthropic's API takes an empty one, and its clients send it.
TAKEN: list[tuple[str, Any]] = [("messages", [])]
every_call = pytest.mark.parametrize("call", CALLS, ids=[call.path for call in CALLS])


def send(stack: Stack, call: Call, key: str, *, body: Any = None, **headers: str) -> httpx.Response:
    """The call, its good body unless another is given; the answer is one that the document promises."""
    sent = {name: value.format(key=key) for name, value in call.key_header.items() if key}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(call.good if body is None else body).encode()
    answer = httpx.post(
        stack.url + call.path,
        content=content,
        headers={"content-type": "application/json", **call.headers, **sent, **named},
        timeout=40,
        trust_env=False,
    )
    if answer.headers["content-type"] == "application/json":
        contract.check("POST", call.path, answer)
    return answer


def refused(answer: httpx.Response, *statuses: int) -> None:
    """A refusal in the form that the document gives it, and in no other's."""
    assert answer.status_code in statuses, answer.text[:300]
    assert "Traceback" not in answer.text and answer.headers["x-request-id"].startswith("req_")


@every_call
def test_the_example_works_and_is_one_job(account: Account, call: Call) -> None:
    answer = send(account.stack, call, account.live_key)
    assert answer.status_code == 200, answer.text
    (job,) = account.live.get("/jobs").json()["data"]
    assert job["id"] == answer.headers["fusionai-job-id"] and job["status"] == "succeeded"
    assert float(answer.headers["fusionai-credits-used"]) == job["usage"]["credits_used"] > 0


@every_call
def test_it_needs_a_key_of_this_account_and_one_alone(account: Account, call: Call) -> None:
    for key in ("", "wrong", account.live_key[:-1] + "x"):
        refused(send(account.stack, call, key), 401)
    twice = {"authorization": "Bearer x", "x_api_key": "x"}
    refused(send(account.stack, call, "", **twice), 400)


@pytest.mark.parametrize(("method", "path", "headers"), ROUTES, ids=[f"{one[0]} {one[1]}" for one in ROUTES])
def test_every_route_needs_a_key(stack: Stack, method: str, path: str, headers: dict[str, str]) -> None:
    answer = httpx.request(method, stack.url + re.sub(r"{\w+}", "nothing", path), headers=headers, trust_env=False)
    assert answer.status_code == 401, answer.text
    contract.check(method, path, answer)


@every_call
def test_without_credits_it_is_a_402_that_says_what_would_do(stack: Stack, call: Call) -> None:
    poor = stack.account(credits=0.000001)
    answer = send(stack, call, poor.live_key)
    refused(answer, 402)
    assert "insufficient credits" in answer.text and "required_credits" in answer.text
    poor.close()


@every_call
def test_a_test_key_is_never_charged(account: Account, call: Call) -> None:
    answer = send(account.stack, call, account.test_key)
    assert answer.status_code == 200, answer.text
    (job,) = account.test.get("/jobs").json()["data"]
    assert job["usage"]["credits_used"] == 0 and job["usage"]["test"] is True
    assert account.live.get("/jobs").json()["data"] == []


@every_call
def test_an_idempotency_key_gives_the_first_answer_again(account: Account, call: Call) -> None:
    first, again = [send(account.stack, call, account.live_key, idempotency_key="one") for _ in range(2)]
    assert first.text == again.text and again.headers["idempotent-replayed"] == "true"
    other = {**call.good, "metadata": {"another": "body"}}
    refused(send(account.stack, call, account.live_key, body=other, idempotency_key="one"), 422)
    assert len(account.live.get("/jobs").json()["data"]) == 1


@every_call
def test_a_retry_by_an_sdk_buys_nothing_twice(account: Account, call: Call) -> None:
    first = send(account.stack, call, account.live_key, x_stainless_retry_count="0")
    again = send(account.stack, call, account.live_key, x_stainless_retry_count="1")
    assert first.headers["fusionai-job-id"] == again.headers["fusionai-job-id"]


@every_call
def test_who_does_not_wait_gets_the_job(account: Account, call: Call) -> None:
    answer = send(account.stack, call, account.live_key, prefer="respond-async")
    assert answer.status_code == 202 and answer.headers["preference-applied"] == "respond-async"
    assert account.finished(answer.json()["id"])["status"] == "succeeded"


@every_call
def test_a_late_answer_is_a_504_that_names_the_job(account: Account, call: Call) -> None:
    with account.stack.script({"fault": {"latency_seconds": 3}}):
        answer = send(account.stack, call, account.live_key, prefer="wait=1")
        refused(answer, 504)
        id = answer.headers["fusionai-job-id"]
        assert id in answer.text and answer.headers["x-should-retry"] == "false"
        assert account.finished(id)["status"] == "succeeded"


@every_call
def test_hostile_bodies_are_refused_in_its_form(account: Account, call: Call) -> None:
    wrong = [json.dumps({**one, **_model(call)}).encode() for one in chats() if _is_wrong(call, one)]
    for body in [*raw(call.good), *wrong]:
        refused(send(account.stack, call, account.test_key, body=body), 400, 413, 429)
    assert account.test.get("/jobs").json()["data"] == []


@every_call
def test_other_media_types_methods_and_paths(account: Account, call: Call) -> None:
    refused(send(account.stack, call, account.live_key, body=b"{", content_type="text/plain"), 415)
    sent = {name: value.format(key=account.live_key) for name, value in call.key_header.items()}
    for method, path, status in (("PUT", call.path, 405), ("GET", call.dialect.prefixes[0] + "/nothing", 404)):
        answer = httpx.request(method, account.stack.url + path, headers=sent, trust_env=False)
        assert answer.status_code == status and _shape(answer.json()) == _shape(_refusal(call))


@every_call
def test_a_secret_in_a_body_is_in_no_log_and_no_refusal(account: Account, call: Call) -> None:
    secret = f"sk-canary-{account.id}"
    with account.stack.script({"contains": secret, "fault": {"status": 500}}):
        told = {**call.good, **_saying(call, secret)}
        broken = send(account.stack, call, account.live_key, body=told)
        refused(broken, 502)
        odd = send(account.stack, call, account.live_key, body={**told, "max_tokens": secret})
        refused(odd, 400)
    assert secret not in broken.text + odd.text
    assert secret not in account.stack.log.read_text(errors="replace")


def _is_wrong(call: Call, body: dict[str, Any]) -> bool:
    """Whether a chat that the native API refuses is one that this dialect refuses as well."""
    return body.get("model") == "gpt-4" and (call.dialect.name, body.get("tools")) not in TAKEN


def _model(call: Call) -> dict[str, Any]:
    return {"model": call.good["model"]} if "model" in call.good else {}


def _saying(call: Call, text: str) -> dict[str, Any]:
    return {"input": text} if "input" in call.good else {"messages": [{"role": "user", "content": text}]}


def _refusal(call: Call) -> Any:
    return call.dialect.refuse(NotFound("nothing"), "req_1").content


def _shape(value: Any) -> Any:
    """The names in a JSON value, without `param`, `reason` and what is said of a request."""
    if isinstance(value, list):
        return [_shape(one) for one in value]
    return {name: _shape(one) for name, one in value.items()} if isinstance(value, dict) else None
