"""The client: one key for all tries of a POST, pauses that heed the server, errors as the API words them."""

from typing import Any

import httpx
import pytest

from fusionai.plain import ApiError, PlainClient
from shared import clock

ACCEPTED = httpx.Response(202, json={"id": "job_1", "status": "queued"})
BUSY = {"error": {"message": "later", "type": "unavailable", "code": 503, "request_id": "req_1"}}


class Script:
    """A transport that gives the scripted answers in turn and keeps the requests and pauses."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, *, retries: int = 6, **options: Any) -> PlainClient:
        transport = httpx.MockTransport(self)
        return PlainClient(
            "http://api/v1", "key", transport=transport, pause=self.pauses.append, retries=retries, **options
        )


def test_a_post_is_tried_again_under_the_same_key() -> None:
    lost, busy = httpx.ReadError("gone"), httpx.Response(503, json=BUSY)
    script = Script(lost, busy, httpx.Response(429, headers={"Retry-After": "7"}, json=BUSY), ACCEPTED)
    with script.client() as client:
        assert client.submit({"type": "embedding"})["id"] == "job_1"
    assert len({request.headers["Idempotency-Key"] for request in script.requests}) == 1
    assert len({request.content for request in script.requests}) == 1
    assert script.pauses[2] == 7.0
    assert all(0 < pause <= 2 for pause in script.pauses[:2])


def test_two_posts_have_two_keys_and_a_given_key_is_kept() -> None:
    script = Script(ACCEPTED, ACCEPTED, ACCEPTED)
    with script.client() as client:
        client.submit({})
        client.submit({})
        client.submit({}, idempotency_key="mine")
    keys = [request.headers["Idempotency-Key"] for request in script.requests]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


@pytest.mark.parametrize("status", [400, 402, 404, 409, 500, 504])
def test_what_a_retry_cannot_cure_is_raised_at_once(status: int) -> None:
    error = {"message": "no", "type": "t", "code": status, "param": "model", "request_id": "req_1"}
    with Script(httpx.Response(status, json={"error": error})).client() as client, pytest.raises(ApiError) as raised:
        client.submit({})
    found = raised.value
    assert (found.status, found.type, found.message, found.param, found.request_id) == (
        (status, "t", "no", "model", "req_1")
    )


def test_a_server_that_says_so_is_not_asked_again() -> None:
    final = httpx.Response(503, headers={"x-should-retry": "false"}, json=BUSY)
    with Script(final).client() as client, pytest.raises(ApiError):
        client.submit({})


def test_a_request_under_way_is_awaited() -> None:
    script = Script(httpx.Response(409, headers={"Retry-After": "1"}, json=BUSY), ACCEPTED)
    with script.client() as client:
        client.submit({})
    assert len(script.requests) == 2


def test_retries_end() -> None:
    with Script(*[httpx.ConnectError("no")] * 3).client(retries=2) as client, pytest.raises(httpx.ConnectError):
        client.submit({})
    with Script(*[httpx.Response(503, json=BUSY)] * 3).client(retries=2) as client, pytest.raises(ApiError):
        client.submit({})


def test_a_server_that_was_never_there_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = 0.0, []
    monkeypatch.setattr(clock, "monotonic", lambda: now)

    def pause(seconds: float) -> None:
        nonlocal now
        now += seconds

    def client(*answers: httpx.Response | Exception) -> PlainClient:
        transport = httpx.MockTransport(Script(*answers))
        away = lambda: told.append("away")  # noqa: E731
        return PlainClient(
            "http://api/v1", "key", transport=transport, pause=pause, first_seconds=3.0, on_unreachable=away
        )

    refused = [httpx.ConnectError("refused")]
    with client(*refused * 100) as away, pytest.raises(httpx.ConnectError):
        away.credits()
    assert 2 <= now <= 3 and told == ["away"]
    with client(*refused * 100) as away, pytest.raises(httpx.ConnectError):
        away.wait_batch("batch_1")
    began = now
    with client(*refused, ACCEPTED, *refused * 5, ACCEPTED) as there:
        there.credits()
        there.credits()
    assert now - began > 6, "one that had been reached is waited for"


def test_a_connection_lost_at_first_is_not_a_server_that_is_not_there() -> None:
    script = Script(*[httpx.ReadError("gone")] * 6, ACCEPTED)
    with script.client(first_seconds=3.0) as client:
        assert client.submit({})["id"] == "job_1"


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"error": "x"}'])
def test_an_answer_of_something_else_is_an_error_too(body: bytes) -> None:
    answer = httpx.Response(500, content=body, headers={"X-Request-Id": "req_9"})
    with Script(answer).client() as client, pytest.raises(ApiError) as raised:
        client.credits()
    assert raised.value.request_id == "req_9"


def test_pages_are_followed_to_the_end() -> None:
    def page(*ids: str, more: bool) -> httpx.Response:
        data = [{"id": id} for id in ids]
        return httpx.Response(200, json={"data": data, "first_id": ids[0], "last_id": ids[-1], "has_more": more})

    script = Script(page("a", "b", more=True), page("c", more=False))
    with script.client() as client:
        assert [job["id"] for job in client.every_job(status="failed")] == ["a", "b", "c"]
    assert [request.url.params.get("after") for request in script.requests] == [None, "b"]
    assert {request.url.params["status"] for request in script.requests} == {"failed"}


def test_waiting_is_given_the_time_it_needs() -> None:
    script = Script(httpx.Response(200, json={"id": "job_1", "status": "succeeded"}))
    with script.client() as client:
        client.job("job_1", wait=28)
    request = script.requests[0]
    assert request.url.params["wait"] == "28"
    assert request.extensions["timeout"]["read"] > 28
