"""The official SDK's clients as people use them: async, raw, impatient; each error's class; nothing is bought twice."""

import asyncio
import base64
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from shared import clock
from tests.acceptance.stack import Account
from tests.conditions import await_condition

ASKED: list[Any] = [{"role": "user", "content": "Say this is a test."}]
TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


@pytest.fixture
def client(account: Account) -> Iterator[OpenAI]:
    """The official SDK with its default retries."""
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key) as made:
        yield made


def saying(content: str) -> Any:
    return {"model": "gpt-4", "messages": [{"role": "user", "content": content}], "max_tokens": 9}


def jobs(account: Account) -> list[Any]:
    return list(account.live.get("/jobs").json()["data"])


class TestAsync:
    """The async client, many calls of every kind on one connection pool."""

    def test_every_kind_at_once(self, account: Account) -> None:
        async def ask() -> tuple[Any, ...]:
            async with AsyncOpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key) as sdk:
                return await asyncio.gather(
                    *(sdk.chat.completions.create(**saying(f"number {n}")) for n in range(5)),
                    sdk.embeddings.create(model="text-embedding-3-large", input=["a", "b"], dimensions=8),
                    sdk.images.generate(model="image-gen-2", prompt="a cat", response_format="b64_json"),
                    sdk.models.list(),
                )

        *chats, vectors, pictures, models = asyncio.run(ask())
        assert [one.choices[0].message.content.split("to: ")[1] for one in chats] == [f"number {n}" for n in range(5)]
        assert [len(row.embedding) for row in vectors.data] == [8, 8] and vectors.usage.total_tokens > 0
        assert pictures.data[0].b64_json and {"gpt-4", "gemini-pro"} <= {model.id for model in models.data}
        assert len(jobs(account)) == 7 and account.stack.violations() == []

    def test_the_loop_of_tools(self, account: Account) -> None:
        async def ask() -> tuple[Any, Any]:
            async with AsyncOpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key) as sdk:
                given: Any = {"model": "gpt-4", "tools": [TOOL], "max_tokens": 40}
                first = await sdk.chat.completions.create(messages=ASKED, tool_choice="required", **given)
                turn = first.choices[0].message
                told: Any = {"role": "tool", "tool_call_id": turn.tool_calls[0].id, "content": "sunny"}
                last = await sdk.chat.completions.create(messages=[*ASKED, turn, told], **given)
                return first, last

        first, last = asyncio.run(ask())
        assert first.choices[0].finish_reason == "tool_calls" and last.choices[0].finish_reason == "stop"

    def test_a_task_that_is_cancelled_leaves_its_job_running(self, account: Account) -> None:
        async def ask() -> None:
            async with AsyncOpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key) as sdk:
                asking = asyncio.create_task(sdk.chat.completions.create(**saying("slowly now")))
                await asyncio.to_thread(await_condition, lambda: jobs(account), what="the job")
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking

        with account.stack.script({"contains": "slowly now", "fault": {"latency_seconds": 1}}):
            asyncio.run(ask())
            (job,) = jobs(account)
            assert account.finished(job["id"])["status"] == "succeeded"
        assert account.stack.violations() == []


class TestThings:
    """Embeddings, pictures and models in the SDK's own types."""

    def test_embeddings_of_everything_that_may_be_embedded(self, client: OpenAI) -> None:
        for given, count in (("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2, 3]], 2)):
            answer = client.embeddings.create(model="text-embedding-3-large", input=given, dimensions=4)  # type: ignore[arg-type]
            assert [(row.index, len(row.embedding)) for row in answer.data] == [(n, 4) for n in range(count)]
            assert answer.object == "list" and answer.model == "text-embedding-3-large"
        whole = client.embeddings.create(model="text-embedding-3-large", input="a")
        assert len(whole.data[0].embedding) == 3072

    def test_base64_is_the_same_vector(self, client: OpenAI) -> None:
        given: Any = {"model": "text-embedding-3-large", "input": "a", "dimensions": 6}
        raw = client.embeddings.with_raw_response.create(**given, encoding_format="base64")
        coded = json.loads(raw.text)["data"][0]["embedding"]
        floats = client.embeddings.create(**given, encoding_format="float").data[0].embedding
        assert list(struct.unpack("<6f", base64.b64decode(coded))) == pytest.approx(floats, abs=1e-6)

    def test_pictures(self, client: OpenAI, account: Account) -> None:
        answer = client.images.generate(model="image-gen-2", prompt="a cat", size="1536x1024", n=2, quality="high")
        assert answer.created > 0 and answer.data is not None and len({picture.url for picture in answer.data}) == 2
        (job,) = jobs(account)
        assert job["ignored"] == [] and job["usage"]["credits_used"] == 30

    def test_models(self, client: OpenAI, account: Account) -> None:
        listed = client.models.list()
        assert {model.id for model in listed} >= {"claude-3-opus", "gpt-4", "text-embedding-3-large", "image-gen-2"}
        one = client.models.retrieve("deepinfra.deepseek-r1")
        assert (one.id, one.object, one.owned_by) == ("deepinfra.deepseek-r1", "model", "deepinfra")
        assert jobs(account) == []


class TestRaw:
    """What stands beside the body: ids, headers, replays."""

    def test_the_request_id(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(**saying("hi"))
        assert answer._request_id and answer._request_id.startswith("req_")
        raw = client.chat.completions.with_raw_response.create(**saying("hi"))
        assert raw.request_id == raw.headers["x-request-id"] != answer._request_id
        assert raw.headers["fusionai-job-id"].startswith("job_") and raw.headers["fusionai-version"] == "v1"
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(model="gpt-99", messages=ASKED)
        assert refused.value.request_id == refused.value.body["request_id"]  # type: ignore[index]

    def test_an_idempotency_key(self, client: OpenAI, account: Account) -> None:
        headers = {"Idempotency-Key": "order-1815"}
        one = client.chat.completions.create(**saying("hi"), extra_headers=headers)
        raw = client.chat.completions.with_raw_response.create(**saying("hi"), extra_headers=headers)
        assert raw.parse() == one and raw.headers["idempotent-replayed"] == "true"
        assert len(jobs(account)) == 1

    def test_our_own_fields_by_extra_body(self, client: OpenAI, account: Account) -> None:
        routing = {"fallbacks": ["gemini-pro"], "budget": "balanced"}
        with account.stack.script({"provider": "openai", "fault": {"status": 401}}):
            answer = client.chat.completions.create(
                **saying("hi"), extra_body={"routing": routing, "metadata": {"order": "9"}}
            )
        assert answer.model == "gemini-pro"
        (job,) = jobs(account)
        assert (
            job["model"] == "gpt-4" and job["served_by"]["model"] == "gemini-pro" and job["metadata"] == {"order": "9"}
        )

    def test_a_model_selected_by_extra_body(self, client: OpenAI, account: Account) -> None:
        """The SDK wants a name; what stands in the extra body takes its place."""
        wanted = {"llms": ["gpt-4", "google.gemini-pro"], "weights": {"price": 1}}
        answer = client.chat.completions.create(**saying("hi"), extra_body={"model": wanted})
        assert answer.model == "gemini-pro"
        (job,) = jobs(account)
        assert job["model"] == job["served_by"]["model"] == "gemini-pro"
        routing = job["routing"]
        assert routing["weights"] == {"price": 1} and routing["reason"] == "best by weights of 2 candidates"
        assert [one["model"] for one in routing["candidates"]] == ["gemini-pro", "gpt-4"]
        other = routing["next_best"]
        assert other["model"] == "gpt-4" and other["credits"] > job["usage"]["credits_used"] > 0
        assert account.stack.violations() == []

    def test_no_model_an_excluded_one_and_a_budget(self, account: Account) -> None:
        chat = {"messages": ASKED, "max_tokens": 9}
        chosen = account.live.post("/chat/completions", json=chat)
        assert chosen.status_code == 200, chosen.text
        first = chosen.json()["model"]
        excluding = account.live.post("/chat/completions", json={**chat, "model": {"exclude_llms": [first]}})
        assert excluding.status_code == 200 and excluding.json()["model"] != first
        budget = {"fallbacks": ["claude-3-opus", "gemini-pro"], "budget": "economy"}
        asked = {"type": "chat.completion", **chat, "model": "gpt-4", "routing": budget}
        accepted = account.live.post("/jobs", json=asked).json()
        assert accepted["model"] == "gpt-4" and accepted["routing"]["next_best"]["credits"] is None
        done = account.live.get(f"/jobs/{accepted['id']}", params={"wait": 30}).json()
        assert done["served_by"]["model"] == "gemini-pro" and done["routing"]["budget"] == "economy"
        refused = account.live.post("/chat/completions", json={**chat, "model": {"llms": ["gpt-99"]}})
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "model.llms[0]"
        none = account.live.post("/chat/completions", json={**chat, "model": {"max_output_cost": 0}})
        assert none.status_code == 400 and "above max_output_cost" in none.json()["error"]["message"]
        assert account.stack.violations() == []


#: What is asked for, the class and status of its refusal, the type in its body.
REFUSALS: list[tuple[str, Callable[[OpenAI], Any], type[openai.APIStatusError], int, str]] = [
    ("unknown field", lambda sdk: sdk.chat.completions.create(**saying("a"), extra_body={"colour": "red"}),
     openai.BadRequestError, 400, "invalid_request"),
    ("wrong model", lambda sdk: sdk.embeddings.create(model="gpt-4", input="a"),
     openai.BadRequestError, 400, "invalid_request"),
    ("wrong size", lambda sdk: sdk.images.generate(model="image-gen-2", prompt="a", size="256x256"),
     openai.BadRequestError, 400, "invalid_request"),
    ("wrong key", lambda sdk: sdk.with_options(api_key="sk-nothing").chat.completions.create(**saying("a")),
     openai.AuthenticationError, 401, "unauthorized"),
    ("no such model", lambda sdk: sdk.models.retrieve("gpt-99"), openai.NotFoundError, 404, "not_found"),
    ("no such batch", lambda sdk: sdk.batches.retrieve("batch_0"), openai.NotFoundError, 404, "not_found"),
    ("no such file", lambda sdk: sdk.files.content("file_0"), openai.NotFoundError, 404, "not_found"),
    ("no such route", lambda sdk: sdk.moderations.create(input="a"), openai.NotFoundError, 404, "not_found"),
]  # fmt: skip


class TestErrors:
    """Every status has the SDK's class, our type and a request id."""

    @pytest.mark.parametrize(("name", "ask", "kind", "status", "type"), REFUSALS, ids=[row[0] for row in REFUSALS])
    def test_refusals(
        self,
        client: OpenAI,
        account: Account,
        name: str,
        ask: Any,
        kind: type[openai.APIStatusError],
        status: int,
        type: str,
    ) -> None:
        with pytest.raises(kind) as refused:
            ask(client)
        error: Any = refused.value.body
        assert refused.value.status_code == error["code"] == status and error["type"] == type
        assert error["request_id"] == refused.value.request_id and jobs(account) == []

    def test_no_credits(self, account: Account) -> None:
        poor = account.stack.account(0.001)
        with OpenAI(base_url=account.stack.url + "/v1", api_key=poor.live_key) as sdk:
            with pytest.raises(openai.APIStatusError) as refused:
                sdk.chat.completions.create(**saying("a"))
        assert refused.value.status_code == 402 and refused.value.type == "insufficient_credits"
        assert jobs(poor) == []
        poor.close()

    def test_another_body_under_the_same_key(self, client: OpenAI) -> None:
        headers = {"Idempotency-Key": "one"}
        client.chat.completions.create(**saying("a"), extra_headers=headers)
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            client.chat.completions.create(**saying("b"), extra_headers=headers)
        assert refused.value.type == "idempotency_mismatch"

    def test_a_conflict(self, client: OpenAI) -> None:
        given: Any = {
            "requests": [{"custom_id": "a", "url": "/v1/embeddings", "body": {"model": "nothing", "input": "a"}}]
        }
        batch = client.post("/batches", body=given, cast_to=object)
        over = lambda: client.batches.retrieve(batch["id"]).status == "failed"  # type: ignore[index]  # noqa: E731
        await_condition(over, what="the batch's failure")
        with pytest.raises(openai.ConflictError) as refused:
            client.batches.cancel(batch["id"])  # type: ignore[index]
        assert refused.value.type == "conflict"

    @pytest.mark.parametrize(
        ("fault", "kind", "status", "type"),
        [({"status": 400, "message": "no such thing"}, openai.BadRequestError, 400, "invalid_request"),
         ({"status": 500}, openai.InternalServerError, 502, "upstream_error"),
         ({"status": 401}, openai.InternalServerError, 502, "upstream_error"),
         ({"status": 429}, openai.InternalServerError, 502, "upstream_error")],
    )  # fmt: skip
    def test_a_failed_job_is_bought_once(
        self, client: OpenAI, account: Account, fault: Any, kind: type[openai.APIStatusError], status: int, type: str
    ) -> None:
        with account.stack.script({"contains": "fail for good", "fault": fault}), pytest.raises(kind) as failed:
            client.chat.completions.create(**saying("fail for good"))
        assert (failed.value.status_code, failed.value.type) == (status, type)
        assert failed.value.response.headers["x-should-retry"] == "false"
        (job,) = jobs(account)
        assert job["status"] == "failed" and job["id"] == failed.value.response.headers["fusionai-job-id"]
        assert account.live.get("/credits").json()["held"] == 0 and account.stack.violations() == []


class TestPatience:
    """Timeouts and retries of the client's own."""

    def test_a_client_that_would_give_up_is_told_of_its_job_before(self, client: OpenAI, account: Account) -> None:
        slowly = saying("in a while") | {"model": "claude-3-sonnet"}
        with account.stack.script({"contains": "in a while", "fault": {"latency_seconds": 1.5}}):
            since = clock.monotonic()
            with pytest.raises(openai.InternalServerError) as late:
                client.with_options(timeout=0.8, max_retries=5).chat.completions.create(**slowly)
            assert clock.monotonic() - since < 1.4 and late.value.status_code == 504
            (job,) = jobs(account)
            assert job["id"] == late.value.response.headers["fusionai-job-id"]
            assert account.finished(job["id"])["status"] == "succeeded"

    def test_asking_again_under_one_key_finds_the_one_job(self, client: OpenAI, account: Account) -> None:
        slowly = saying("in a while") | {"model": "claude-3-sonnet"}
        again = {"Idempotency-Key": "again"}
        with account.stack.script({"contains": "in a while", "fault": {"latency_seconds": 2.5}}):
            with pytest.raises(openai.InternalServerError):
                client.with_options(timeout=1).chat.completions.create(**slowly, extra_headers=again)
            answer = client.with_options(timeout=20).chat.completions.create(**slowly, extra_headers=again)
        assert answer.choices[0].message.content
        assert len(jobs(account)) == 1 and account.stack.violations() == []

    def test_an_upstream_that_recovers_is_not_the_callers_business(self, client: OpenAI, account: Account) -> None:
        with account.stack.script({"contains": "at first", "fault": {"status": 503}, "times": 2}):
            raw = client.chat.completions.with_raw_response.create(**saying("fails at first"))
        assert raw.retries_taken == 0 and raw.parse().choices[0].message.content
        (job,) = jobs(account)
        assert [attempt["status_code"] for attempt in job["attempts"]] == [503, 503, 200]
