"""Message batches, by the official Anthropic SDK, unmodified, against running processes."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from tests import contract
from tests.acceptance.hostile_bodies import raw
from tests.acceptance.stack import Account, Stack
from tests.acceptance.test_messages import client
from tests.acceptance.test_retries import refusing
from tests.conditions import await_condition


@pytest.fixture
def claude(account: Account) -> Iterator[anthropic.Anthropic]:
    with client(account) as made:
        yield made


def asked(custom_id: str, **params: Any) -> Any:
    """A request of a batch."""
    said = [{"role": "user", "content": f"hello {custom_id}"}]
    return {
        "custom_id": custom_id,
        "params": {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": said, **params},
    }


def ended(claude: anthropic.Anthropic, id: str) -> Any:
    """The message batch when it has ended."""
    is_over = lambda: claude.messages.batches.retrieve(id).processing_status == "ended"  # noqa: E731
    await_condition(is_over, seconds=40, what="the end of the message batch")
    return claude.messages.batches.retrieve(id)


def results(claude: anthropic.Anthropic, id: str) -> dict[str, Any]:
    """The results, by custom_id."""
    return {one.custom_id: one.result for one in claude.messages.batches.results(id)}


def test_it_is_made_polled_read_and_deleted(account: Account, claude: anthropic.Anthropic) -> None:
    tool = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
    with refusing(account):
        made = claude.messages.batches.create(
            requests=[
                asked("a"),
                asked("b", model="gpt-4", tools=[tool], tool_choice={"type": "any"}, max_tokens=900),
                asked("refuse me"),
            ]
        )
        assert made.type == "message_batch" and made.id.startswith("msgbatch_")
        assert (made.processing_status, made.results_url, made.ended_at) == ("in_progress", None, None)
        assert made.request_counts.to_dict() == {
            "processing": 3,
            "succeeded": 0,
            "errored": 0,
            "canceled": 0,
            "expired": 0,
        }
        assert (made.expires_at - made.created_at).total_seconds() == 86_400
        done = ended(claude, made.id)
    assert done.request_counts.to_dict() == {
        "processing": 0,
        "succeeded": 2,
        "errored": 1,
        "canceled": 0,
        "expired": 0,
    }
    assert done.ended_at is not None and done.cancel_initiated_at is None and done.archived_at is None
    assert done.results_url == f"{account.stack.url}/v1/messages/batches/{made.id}/results"
    found = results(claude, made.id)
    assert found["a"].type == "succeeded" and found["a"].message.content[0].text
    assert found["b"].message.stop_reason == "tool_use" and found["b"].message.content[-1].name == "look"
    assert found["refuse me"].type == "errored"
    assert found["refuse me"].error.error.type == "invalid_request_error" and found["refuse me"].error.request_id
    native = account.live.get(f"/batches/batch_{made.id.removeprefix('msgbatch_')}").json()
    assert native["status"] == "completed" and native["endpoint"] == "/v1/messages"
    assert native["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    charged = sum(
        round(one.message.usage.credits_used * 1_000_000) for one in found.values() if one.type == "succeeded"
    )
    assert charged == round(native["credits_used"] * 1_000_000) > 0 and native["credits_held"] == 0
    with pytest.raises(anthropic.ConflictError):
        claude.messages.batches.cancel(made.id)
    gone = claude.messages.batches.delete(made.id)
    assert (gone.id, gone.type) == (made.id, "message_batch_deleted")
    for call in (claude.messages.batches.retrieve, claude.messages.batches.delete, claude.messages.batches.cancel):
        with pytest.raises(anthropic.NotFoundError):
            call(made.id)
    assert claude.messages.batches.list().data == []
    assert account.live.get(f"/batches/{native['id']}").json()["status"] == "completed"
    assert account.live.get(f"/files/{native['output_file_id']}").status_code == 404
    assert account.stack.violations() == []


def test_the_beta_and_the_async_client_too(account: Account, claude: anthropic.Anthropic) -> None:
    made = claude.beta.messages.batches.create(requests=[asked("a")], betas=["message-batches-2024-09-24"])
    ended(claude, made.id)

    async def read() -> list[Any]:
        async with anthropic.AsyncAnthropic(base_url=account.stack.url, auth_token=account.live_key) as other:
            return [one async for one in await other.beta.messages.batches.results(made.id)]

    (one,) = asyncio.run(read())
    assert one.custom_id == "a" and one.result.type == "succeeded"
    (native,) = account.live.get("/batches").json()["data"]
    assert account.live.delete(f"/files/{native['output_file_id']}").status_code == 200
    with pytest.raises(anthropic.NotFoundError, match="no longer kept"):
        claude.messages.batches.results(made.id)


def test_pages_go_both_ways(claude: anthropic.Anthropic) -> None:
    made = [claude.messages.batches.create(requests=[asked("a")]).id for _ in range(5)][::-1]
    assert [one.id for one in claude.messages.batches.list(limit=2)] == made
    page = claude.messages.batches.list(limit=2, after_id=made[0])
    assert [one.id for one in page.data] == made[1:3] and page.has_more
    page = claude.messages.batches.list(limit=2, before_id=made[4])
    assert [one.id for one in page.data] == made[2:4] and page.has_more
    page = page.get_next_page()
    assert [one.id for one in page.data] == made[:2] and not page.has_more
    for wrong in ({"limit": 0}, {"limit": 1001}, {"after_id": "a", "before_id": "b"}, {"before_id": "x"}):
        with pytest.raises(anthropic.BadRequestError):
            claude.messages.batches.list(**wrong)


def test_it_is_canceled(account: Account, claude: anthropic.Anthropic) -> None:
    words = f"wait {account.id}"
    slow = [{"role": "user", "content": words}]
    with account.stack.script({"contains": words, "fault": {"latency_seconds": 60}}):
        made = claude.messages.batches.create(requests=[asked("a"), *(asked(f"s{n}", messages=slow) for n in range(4))])
        native = f"/batches/batch_{made.id.removeprefix('msgbatch_')}"
        one_done = lambda: account.live.get(native).json()["request_counts"]["completed"] == 1  # noqa: E731
        await_condition(one_done, seconds=30, what="the first answer")
        canceled = claude.messages.batches.cancel(made.id)
        assert canceled.processing_status in ("canceling", "ended") and canceled.cancel_initiated_at is not None
        done = ended(claude, made.id)
    counts = done.request_counts
    assert (counts.succeeded, counts.canceled, counts.processing) == (1, 4, 0)
    assert {name: one.type for name, one in results(claude, made.id).items()} == {
        "a": "succeeded",
        **{f"s{n}": "canceled" for n in range(4)},
    }
    assert claude.messages.batches.cancel(made.id).processing_status == "ended", "again: it is as it was"
    assert account.stack.violations() == []


@pytest.mark.parametrize(
    ("requests", "param", "words"),
    [
        ([], "requests", "at least 1"),
        ([asked("a"), asked("b", max_tokens=0)], "requests[1].params.max_tokens", "greater than or equal to 1"),
        ([asked("a"), asked("a")], "requests[1].custom_id", "in requests[0]"),
        ([{"custom_id": "a"}], "requests[0].params", "missing"),
        ([{"custom_id": "", "params": {}}], "requests[0].custom_id", "at least 1"),
        ([asked("a", stream=True)], "requests[0].params.stream", "not supported in a batch"),
        ([asked("a", model="nothing")], "requests[0].params.model", "nothing"),
        ([asked("a", max_tokens=5000, model="claude-3-opus")], "requests[0].params.max_tokens", "4096"),
        ([asked("a", nothing=1)], "requests[0].params.nothing", "unknown field"),
        ([{**asked("a"), "url": "x"}], "requests[0].url", "unknown field"),
        ([asked("a", messages=[{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}])],
         "requests[0].params.messages[0].content[0].source.type", "uploaded files"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_request_is_named(
    account: Account, claude: anthropic.Anthropic, requests: Any, param: str, words: str
) -> None:
    with pytest.raises(anthropic.BadRequestError) as found:
        claude.messages.batches.create(requests=requests)
    error: Any = found.value.body
    assert error["error"]["param"] == param and words in error["error"]["message"], error
    assert account.live.get("/batches").json()["data"] == [] == account.live.get("/files").json()["data"]


def test_too_little_credit_is_a_402_and_nothing_is_made(stack: Stack) -> None:
    poor = stack.account(credits=0.001)
    with client(poor) as claude, pytest.raises(anthropic.PaymentRequiredError) as found:
        claude.messages.batches.create(requests=[asked(str(n)) for n in range(10)])
    error: Any = found.value.body
    assert found.value.type == "billing_error" and error["error"]["jobs"] == 10
    assert poor.live.get("/batches").json()["data"] == []
    with client(poor, api_key=poor.test_key) as claude:
        made = claude.messages.batches.create(requests=[asked("a")])
        assert ended(claude, made.id).request_counts.succeeded == 1
        assert results(claude, made.id)["a"].message.to_dict()["usage"]["test"] is True
    poor.close()


def test_an_idempotency_key_and_a_retry_make_one(account: Account, claude: anthropic.Anthropic) -> None:
    requests = [asked("a")]
    once: Any = {"Idempotency-Key": "one"}
    first, again = [claude.messages.batches.create(requests=requests, extra_headers=once) for _ in range(2)]
    assert first.to_dict() == again.to_dict()
    with pytest.raises(anthropic.UnprocessableEntityError):
        claude.messages.batches.create(requests=[asked("b")], extra_headers=once)
    retried = [
        httpx.post(
            f"{account.stack.url}/v1/messages/batches",
            json={"requests": requests},
            headers={
                "x-api-key": account.live_key,
                "anthropic-version": "2023-06-01",
                "x-stainless-retry-count": str(n),
            },
        ).json()["id"]
        for n in range(2)
    ]
    assert retried[0] == retried[1] != first.id
    assert len(account.live.get("/batches").json()["data"]) == 2


def test_other_keys_do_not_see_it(account: Account, claude: anthropic.Anthropic) -> None:
    made = claude.messages.batches.create(requests=[asked("a")])
    ended(claude, made.id)
    other = account.stack.account()
    for key in (other.live_key, account.test_key):
        with client(account, api_key=key) as stranger:
            assert stranger.messages.batches.list().data == []
            for call in ("retrieve", "cancel", "delete"):
                with pytest.raises(anthropic.NotFoundError):
                    getattr(stranger.messages.batches, call)(made.id)
            with pytest.raises(anthropic.NotFoundError):
                stranger.get(f"/v1/messages/batches/{made.id}/results", cast_to=object)
    native = account.live.post("/batches", json={"requests": [{**line_of(asked("a"))}]}).json()
    for id in (native["id"], "msgbatch_" + native["id"].removeprefix("batch_"), "msgbatch_x", "x"):
        with pytest.raises(anthropic.NotFoundError):
            claude.messages.batches.retrieve(id)
    other.close()


def line_of(request: Any) -> dict[str, Any]:
    """The same as a native inline request."""
    return {"custom_id": request["custom_id"], "url": "/v1/messages", "body": request["params"]}


def test_every_answer_is_one_that_the_document_promises(account: Account) -> None:
    """Raw, with what a client of no SDK sends."""
    headers = {"x-api-key": account.live_key, "anthropic-version": "2023-06-01"}
    with httpx.Client(
        base_url=account.stack.url + "/v1/messages", headers=headers, event_hooks={"response": [contract.watch]}
    ) as plain:
        id = plain.post("/batches", json={"requests": [asked("a")]}).json()["id"]
        early = plain.get(f"/batches/{id}/results")
        assert early.status_code in (200, 404)
        over = lambda: plain.get(f"/batches/{id}").json()["processing_status"] == "ended"  # noqa: E731
        await_condition(over, seconds=30, what="the end of the message batch")
        found = plain.get(f"/batches/{id}/results")
        assert found.headers["content-type"] == "application/x-jsonl"
        (line,) = found.text.splitlines()
        assert set(json.loads(line)) == {"custom_id", "result"}
        assert plain.get("/batches?limit=1").json()["last_id"] == id
        assert plain.post(f"/batches/{id}/cancel").status_code == 409
        assert plain.delete(f"/batches/{id}").status_code == 200
        assert plain.get(f"/batches/{id}").status_code == 404
        assert plain.post("/batches", json={"requests": "x"}).status_code == 400
        assert plain.get("/batches", headers={"anthropic-version": ""}).status_code == 400
        assert plain.get("/models?limit=2").json()["has_more"] and plain.get("/models/gpt-4").json()["id"] == "gpt-4"


def test_hostile_bodies_are_refused_in_its_form(account: Account) -> None:
    headers = {
        "x-api-key": account.test_key,
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
    }
    good = {"requests": [asked("a")]}
    odd = [{"requests": value} for value in (None, {}, "x", [None], [[]], [{}], [{"custom_id": 5, "params": {}}])]
    odd += [{**good, "endpoint": "/v1/messages"}, {"requests": [{**asked("a"), "params": []}]}]
    with httpx.Client(
        base_url=account.stack.url, headers=headers, event_hooks={"response": [contract.watch]}
    ) as client:
        for body in [*raw(good), *(json.dumps(one).encode() for one in odd)]:
            answer = client.post("/v1/messages/batches", content=body)
            assert answer.status_code in (400, 413, 429), (body[:100], answer.text[:300])
            assert answer.json()["type"] == "error" and answer.headers["request-id"].startswith("req_")
    assert account.test.get("/batches").json()["data"] == []


def test_a_batch_may_be_as_large_as_a_native_one(account: Account) -> None:
    headers = {"x-api-key": account.test_key, "anthropic-version": "2023-06-01"}
    said = [{"role": "user", "content": "hi"}]
    params = {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": said}
    requests = [{"custom_id": str(n), "params": params} for n in range(25_001)]
    with httpx.Client(base_url=account.stack.url, headers=headers, timeout=120) as client:
        for many in ({"json": {"requests": requests}}, {"content": b'{"a": "' + b"x" * (50 * 1024**2) + b'"}'}):
            answer = client.post("/v1/messages/batches", **many)  # type: ignore[arg-type]
            assert answer.status_code == 413 and answer.json()["error"]["type"] == "request_too_large"
        requests[1999] = {"custom_id": "last", "params": {**params, "max_tokens": 0}}
        answer = client.post("/v1/messages/batches", json={"requests": requests[:2000]})
        assert answer.json()["error"]["param"] == "requests[1999].params.max_tokens", answer.text[:300]
