"""The synchronous calls, by the official OpenAI SDK and by hand: each is a job, charged once, found afterwards."""

import asyncio
import base64
import struct
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.acceptance.stack import Account, chat, embedding, image
from tests.conditions import await_condition

ASKED: list[Any] = [{"role": "user", "content": "Say this is a test."}]
CHAT = {"model": "gpt-4", "messages": ASKED, "max_tokens": 50}


@pytest.fixture
def client(account: Account) -> Iterator[OpenAI]:
    """The official SDK with its default retries."""
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key) as made:
        yield made


def job_of(account: Account, answer: httpx.Response) -> dict[str, Any]:
    """The job that an answer names."""
    return dict(account.live.get(f"/jobs/{answer.headers['fusionai-job-id']}").json())


class TestSdk:
    """What people write with the official SDK works unchanged."""

    def test_chat(self, client: OpenAI, account: Account) -> None:
        raw = client.chat.completions.with_raw_response.create(model="gpt-4", messages=ASKED, max_tokens=50)
        answer = raw.parse()
        assert answer.object == "chat.completion" and answer.model == "gpt-4"
        assert answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"
        usage = answer.usage
        assert usage is not None and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0
        job = account.live.get(f"/jobs/{raw.headers['fusionai-job-id']}").json()
        assert job["status"] == "succeeded" and job["type"] == "chat.completion"
        assert job["result"] == answer.model_dump(mode="json", exclude_unset=True)
        assert job["usage"]["credits_used"] == usage.model_extra["credits_used"] > 0  # type: ignore[index]
        assert account.stack.violations() == []

    def test_tools(self, client: OpenAI) -> None:
        tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
        answer = client.chat.completions.create(
            model="gpt-4", messages=ASKED, tools=tools, tool_choice="required", max_tokens=50
        )
        (call,) = answer.choices[0].message.tool_calls or []
        assert call.type == "function" and call.function.name == "get_weather"
        assert answer.choices[0].finish_reason == "tool_calls"
        said: Any = [*ASKED, answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        assert client.chat.completions.create(model="gpt-4", messages=said, tools=tools, max_tokens=50).choices

    def test_embeddings_as_floats_and_base64(self, client: OpenAI, account: Account) -> None:
        floats = client.embeddings.create(
            model="text-embedding-3-large", input=["a", "b"], dimensions=16, encoding_format="float"
        )
        usual = client.embeddings.create(model="text-embedding-3-large", input=["a", "b"], dimensions=16)
        assert [len(row.embedding) for row in floats.data] == [16, 16]
        for one, other in zip(floats.data, usual.data, strict=True):
            assert one.embedding == pytest.approx(other.embedding, abs=1e-6), "the SDK asks for base64 by itself"
        body = {**embedding(input="a", dimensions=4), "encoding_format": "base64"}
        del body["type"]
        coded = account.live.post("/embeddings", json=body).json()["data"][0]["embedding"]
        assert len(struct.unpack("<4f", base64.b64decode(coded))) == 4

    def test_images(self, client: OpenAI) -> None:
        linked = client.images.generate(model="image-gen-2", prompt="a cat", size="1024x1024")
        assert linked.data and linked.data[0].url and httpx.get(linked.data[0].url).status_code == 200
        coded = client.images.generate(model="image-gen-2", prompt="a cat", response_format="b64_json", n=2)
        assert coded.data and len(coded.data) == 2
        assert base64.b64decode(coded.data[0].b64_json or "").startswith(b"\x89PNG")

    def test_the_async_client(self, account: Account) -> None:
        async def ask() -> list[Any]:
            async with AsyncOpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key) as sdk:
                return await asyncio.gather(
                    *(sdk.chat.completions.create(model="gpt-4", messages=ASKED, max_tokens=20) for _ in range(20))
                )

        assert all(answer.choices[0].message.content for answer in asyncio.run(ask()))

    def test_its_error_classes(self, client: OpenAI, account: Account) -> None:
        def ask(**changes: Any) -> Any:
            return client.chat.completions.create(**{**CHAT, **changes})  # type: ignore[call-overload]

        with pytest.raises(openai.BadRequestError, match=r"temperature: .*less than or equal to 2"):
            ask(temperature=3)
        with pytest.raises(openai.BadRequestError, match="unknown model"):
            ask(model="gpt-99")
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="fusionai_live_wrong").models.list()
        poor = account.stack.account(0)
        with pytest.raises(openai.APIStatusError) as refused:
            client.with_options(api_key=poor.live_key).chat.completions.create(
                model="gpt-4", messages=ASKED, max_tokens=50
            )
        assert refused.value.status_code == 402 and refused.value.body["type"] == "insufficient_credits"  # type: ignore[index]

    def test_its_retries_do_not_buy_twice(self, client: OpenAI, account: Account) -> None:
        """The upstream fails for good: one job, one set of attempts, whatever the SDK would like."""
        with account.stack.script({"contains": "break down", "fault": {"status": 500}}):
            with pytest.raises(openai.InternalServerError) as failed:
                client.chat.completions.create(
                    model="gpt-4", messages=[{"role": "user", "content": "break down"}], max_tokens=9
                )
        assert failed.value.response.headers["x-should-retry"] == "false" and failed.value.status_code == 502
        jobs = account.live.get("/jobs").json()["data"]
        assert [job["status"] for job in jobs] == ["failed"]
        assert jobs[0]["id"] == failed.value.response.headers["fusionai-job-id"] and account.stack.violations() == []


def test_a_call_is_a_job_like_any_other(account: Account) -> None:
    for path, body in (("/chat/completions", CHAT), ("/embeddings", embedding()), ("/images", image())):
        answer = account.live.post(path, json={name: value for name, value in body.items() if name != "type"})
        assert answer.status_code == 200, answer.text
        job = job_of(account, answer)
        assert job["status"] == "succeeded" and job["result"] == answer.json()
    assert account.live.get("/credits").json()["held"] == 0 and account.stack.violations() == []


def test_a_test_key_is_served_by_the_sandbox_for_nothing(account: Account) -> None:
    answer = account.test.post("/chat/completions", json=CHAT)
    assert answer.status_code == 200 and answer.json()["usage"] == {**answer.json()["usage"], "test": True}
    assert answer.json()["usage"]["credits_used"] == 0


class TestPrefer:
    """RFC 7240: the caller may take the job instead of waiting."""

    def test_respond_async(self, account: Account) -> None:
        answer = account.live.post("/chat/completions", json=CHAT, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202 and answer.headers["preference-applied"] == "respond-async"
        job = answer.json()
        assert answer.headers["location"] == f"/v1/jobs/{job['id']}" and answer.headers["retry-after"] == "1"
        assert account.finished(job["id"])["status"] == "succeeded"

    def test_respond_async_but_wait_a_little(self, account: Account) -> None:
        quick = account.live.post("/embeddings", json=_bare(embedding()), headers={"Prefer": "respond-async, wait=20"})
        assert quick.status_code == 200
        with account.stack.script({"contains": "hold the line", "fault": {"latency_seconds": 3}}):
            slow = account.live.post(
                "/chat/completions", json=_saying("hold the line"), headers={"Prefer": "wait=1; respond-async"}
            )
            assert slow.status_code == 202
            assert account.finished(slow.json()["id"])["status"] == "succeeded"

    @pytest.mark.parametrize("prefer", ["", "return=minimal", "wait=20", "respond-async-not", "respond-async; wait=-1"])
    def test_other_preferences(self, account: Account, prefer: str) -> None:
        answer = account.live.post("/chat/completions", json=CHAT, headers={"Prefer": prefer})
        assert answer.status_code == (202 if prefer.startswith("respond-async;") else 200)


class TestEnds:
    """What a waiting caller hears when its job does not go well."""

    def test_an_upstream_that_refuses(self, account: Account) -> None:
        with account.stack.script({"contains": "not that", "fault": {"status": 400, "message": "no such thing"}}):
            answer = account.live.post("/chat/completions", json=_saying("not that"))
        error = answer.json()["error"]
        assert answer.status_code == 400 and error["type"] == "invalid_request" and "no such thing" in error["message"]
        assert answer.headers["x-should-retry"] == "false" and job_of(account, answer)["status"] == "failed"

    def test_a_job_that_is_cancelled(self, account: Account) -> None:
        with account.stack.script({"contains": "cancel me", "fault": {"latency_seconds": 30}}):
            told: list[httpx.Response] = []
            asking = threading.Thread(
                target=lambda: told.append(account.live.post("/chat/completions", json=_saying("cancel me")))
            )
            asking.start()
            running = lambda: account.live.get("/jobs", params={"status": "running"}).json()["data"]  # noqa: E731
            job = await_condition(running, what="the running job")[0]
            account.live.post(f"/jobs/{job['id']}/cancel")
            asking.join(20)
        assert told[0].status_code == 409 and job["id"] in told[0].json()["error"]["message"]

    def test_one_that_outlasts_the_limit(self, account: Account) -> None:
        """The caller's, here; test_time_limits has the others."""
        with account.stack.script({"contains": "take your time", "fault": {"latency_seconds": 2}}):
            answer = account.live.post(
                "/chat/completions", json=_saying("take your time"), headers={"Prefer": "wait=1"}
            )
            assert answer.status_code == 504 and answer.headers["x-should-retry"] == "false"
            assert answer.json()["error"]["type"] == "timeout"
            job = answer.headers["fusionai-job-id"]
            assert job in answer.json()["error"]["message"]
            assert account.finished(job)["status"] == "succeeded", "it goes on, and is found"

    def test_a_caller_who_goes_away(self, account: Account) -> None:
        with account.stack.script({"contains": "gone soon", "fault": {"latency_seconds": 1.5}}):
            with pytest.raises(httpx.ReadTimeout):
                account.live.post("/chat/completions", json=_saying("gone soon"), timeout=0.5)
            (job,) = account.live.get("/jobs").json()["data"]
            assert account.finished(job["id"])["status"] == "succeeded"
        assert account.stack.violations() == []


class TestIdempotency:
    """One key, one job, one charge."""

    def test_the_same_answer_again(self, account: Account) -> None:
        first, second = (
            account.live.post("/chat/completions", json=CHAT, headers={"Idempotency-Key": "k"}) for _ in range(2)
        )
        assert first.json() == second.json() and second.headers["idempotent-replayed"] == "true"
        assert first.headers["fusionai-job-id"] == second.headers["fusionai-job-id"]
        assert len(account.live.get("/jobs").json()["data"]) == 1

    def test_together(self, account: Account) -> None:
        async def ask() -> list[httpx.Response]:
            async with httpx.AsyncClient(
                base_url=account.stack.url + "/v1", headers=account.live.headers, timeout=30
            ) as http:
                return await asyncio.gather(
                    *(http.post("/chat/completions", json=CHAT, headers={"Idempotency-Key": "k"}) for _ in range(30))
                )

        answers = asyncio.run(ask())
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
        assert len(account.live.get("/jobs").json()["data"]) == 1

    def test_a_failure_is_replayed_too(self, account: Account) -> None:
        with account.stack.script({"contains": "fail once", "fault": {"status": 400}, "times": 1}):
            answers = [
                account.live.post("/chat/completions", json=_saying("fail once"), headers={"Idempotency-Key": "f"})
                for _ in range(2)
            ]
        assert [answer.status_code for answer in answers] == [400, 400]
        assert answers[0].json()["error"]["message"] == answers[1].json()["error"]["message"]
        assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true"]

    def test_both_names_of_one_route(self, account: Account) -> None:
        paths = ("/images", "/images/generations")
        answers = [account.test.post(path, json=_bare(image()), headers={"Idempotency-Key": "i"}) for path in paths]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert len({answer.headers["fusionai-job-id"] for answer in answers}) == 1

    def test_a_key_of_another_route(self, account: Account) -> None:
        headers = {"Idempotency-Key": "one"}
        assert account.live.post("/chat/completions", json=CHAT, headers=headers).status_code == 200
        assert account.live.post("/embeddings", json=_bare(embedding()), headers=headers).status_code == 422


def test_known_fields_that_are_not_served_are_listed(account: Account) -> None:
    untiered = {**CHAT, "model": "gpt-4.1"}
    answer = account.live.post("/chat/completions", json={**untiered, "service_tier": "auto", "store": False})
    assert set(job_of(account, answer)["ignored"]) == {"service_tier", "store"}
    with account.stack.script():
        account.live.post("/chat/completions", json={**untiered, "reasoning_effort": "high"})
        sent = httpx.get(account.stack.simulator + "/_simulator/calls", params={"contains": "reasoning_effort"}).json()
    assert sent["count"] == 0
    unknown = account.live.post("/chat/completions", json={**CHAT, "colour": "red"})
    assert unknown.status_code == 400 and unknown.json()["error"]["param"] == "colour"


def _bare(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "type"}


def _saying(content: str) -> dict[str, Any]:
    return {**CHAT, "messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize("path", ["/chat/completions", "/embeddings", "/images"])
def test_what_a_call_cost_is_in_a_header_too_and_usage_lists_openai_s_keys_first(account: Account, path: str) -> None:
    bodies = {"/chat/completions": chat(), "/embeddings": embedding(), "/images": image()}
    body = {name: value for name, value in bodies[path].items() if name != "type"}
    answer = account.live.post(path, json=body)
    used = answer.json()["usage"]
    assert answer.status_code == 200 and used["credits_used"] > 0
    assert Decimal(answer.headers["fusionai-credits-used"]) == Decimal(str(used["credits_used"]))
    assert "e" not in answer.headers["fusionai-credits-used"].lower()
    theirs = [name for name in used if name not in ("credits_used", "test", "estimated")]
    counts = [name for name in ("prompt_tokens", "completion_tokens", "total_tokens") if name in theirs]
    assert list(used) == [*theirs, "credits_used"] and theirs[: len(counts)] == counts
    if path == "/chat/completions":
        assert counts == ["prompt_tokens", "completion_tokens", "total_tokens"]
    again = account.test.post(path, json=body)
    assert again.headers["fusionai-credits-used"] == "0"
    job = account.live.get(f"/jobs/{answer.headers['fusionai-job-id']}").json()["usage"]
    assert list(job)[:3] == ["prompt_tokens", "completion_tokens", "total_tokens"]
