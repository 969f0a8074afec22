"""The Python SDK on a running system: what is charged, what goes on, and what a second run finds."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import openai
import pytest

import fusionai
from fusionai import AsyncFusionAI, FusionAI
from tests.acceptance.stack import Account

ASKED: Any = [{"role": "user", "content": "Say this is a test."}]


@pytest.fixture
def client(account: Account) -> Iterator[FusionAI]:
    with FusionAI(base_url=account.stack.url + "/v1", api_key=account.live_key) as made:
        yield made


def lines(count: int, salt: str = "") -> list[dict[str, Any]]:
    return [
        {"body": {"model": "gpt-4", "messages": [{"role": "user", "content": f"{salt}{n} times 7?"}], "max_tokens": 20}}
        for n in range(count)
    ]


def jobs(account: Account) -> list[Any]:
    return list(account.live.get("/jobs?limit=100").json()["data"])


def test_a_job_is_submitted_waited_for_listed_and_streamed_again(client: FusionAI, account: Account) -> None:
    made = client.jobs.create(type="chat.completion", model="gpt-4", messages=ASKED, max_tokens=20, metadata={"a": "b"})
    job = client.jobs.wait(made.id)
    assert job.status == "succeeded" and job.result is not None and job.usage is not None
    assert [one.id for one in client.jobs.list(metadata={"a": "b"}, limit=1)] == [job.id]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in client.jobs.stream(job.id) if chunk.choices)
    assert said == job.result.to_dict()["choices"][0]["message"]["content"]  # type: ignore[index]
    assert client.jobs.count(metadata={"a": "b"}).count == 1 and client.jobs.input(job.id).body["messages"] == ASKED
    assert len(jobs(account)) == 1 and account.stack.violations() == []


def test_the_same_key_buys_once_streamed_too(client: FusionAI, account: Account) -> None:
    given: Any = {"model": "gpt-4", "messages": ASKED, "extra_headers": {"Idempotency-Key": "mine"}}
    texts = []
    for _ in range(2):
        chunks = client.chat.completions.create(stream=True, max_tokens=20, **given)
        texts.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
    assert texts[0] == texts[1] and len(jobs(account)) == 1


def test_money_events_invoices_and_models_have_their_types(client: FusionAI, account: Account) -> None:
    answer = client.chat.completions.create(model="gpt-4", messages=ASKED, max_tokens=20)
    assert answer.choices[0].message.content
    balance, report = client.credits.retrieve(), client.usage.retrieve()
    assert balance.remaining == balance.available + balance.held and report.credits_used > 0
    assert [row.model for row in client.usage.rows()] == ["gpt-4"] and report.period.from_ <= report.period.to
    assert [event.type for event in client.events.list()][-1] == "job.completed"
    assert client.credits.set_thresholds([{"kind": "remaining", "credits": 7}]).thresholds[0].credits == 7
    invoice = client.invoices.create(credits=500, description="Top-up")
    assert invoice.status == "open" and client.invoices.retrieve(invoice.id).credits == 500
    assert client.models.retrieve("gpt-4").price.unit and "gpt-4" in [model.id for model in client.models.list()]


def test_refusals_are_of_their_classes_and_of_openai_s(client: FusionAI, account: Account) -> None:
    with pytest.raises(fusionai.BadRequestError) as wrong:
        client.chat.completions.create(model="no-such", messages=ASKED)
    assert wrong.value.param == "model" and wrong.value.request_id and isinstance(wrong.value, openai.BadRequestError)
    with pytest.raises(fusionai.NotFoundError):
        client.jobs.retrieve("job_none")
    with pytest.raises(fusionai.AuthenticationError):
        client.with_options(api_key="fusionai_live_wrong").credits.retrieve()
    assert client.with_options(timeout=7).stream_timeout == client.stream_timeout


def test_what_is_openai_s_own_works_through_it(client: FusionAI, account: Account) -> None:
    events = [event.type for event in client.responses.create(model="gpt-4", input="Hello", stream=True)]
    assert events[0] == "response.created" and events[-1] == "response.completed"
    with client.chat.completions.stream(model="gpt-4", messages=ASKED, max_tokens=20) as stream:
        assert stream.get_final_completion().choices[0].finish_reason == "stop"
    assert [job.id for job in client.jobs.list()] and client.files.list().data == [] == client.batches.list().data
    said = client.embeddings.create(model="text-embedding-3-large", input="a", dimensions=8)
    assert len(said.data[0].embedding) == 8 and fusionai.__version__ in client.user_agent
    raw = client.chat.completions.with_raw_response.create(model="gpt-4", messages=ASKED, max_tokens=20)
    assert (
        client.jobs.retrieve(raw.headers["FusionAI-Job-Id"]).usage
        == client.jobs.wait(raw.headers["FusionAI-Job-Id"]).usage
    )


def test_webhooks_are_made_rotated_and_gone(client: FusionAI) -> None:
    hook = client.webhooks.create("http://127.0.0.1:9/hooks", events=["job.completed"])
    assert hook.secret != client.webhooks.rotate(hook.id, overlap_seconds=0).secret
    assert [one.id for one in client.webhooks.list()] == [hook.id]
    assert client.webhooks.delete(hook.id).deleted and client.webhooks.list().data == []


def test_a_batch_that_was_left_goes_on_and_is_paid_once(client: FusionAI, account: Account) -> None:
    """The first run is over in the middle, as of a process that was killed."""
    first = fusionai.batch(lines(6), client=client, lines_per_batch=2, poll_seconds=0.05)
    begun = [next(first) for _ in range(3)]
    first.close()
    again = [*fusionai.batch(lines(6), client=client, lines_per_batch=2, poll_seconds=0.05)]
    assert sorted(one.custom_id for one in again) == [f"line-{n}" for n in range(1, 7)]
    assert {one.custom_id: one.body for one in again} | {one.custom_id: one.body for one in begun} == {
        one.custom_id: one.body for one in again
    }
    assert len(jobs(account)) == 6 and len(account.live.get("/batches").json()["data"]) == 3
    assert account.stack.violations() == []


def test_results_come_as_lines_end_while_the_batch_runs(client: FusionAI, account: Account) -> None:
    asked = [*lines(3), {"custom_id": "late", "body": {**lines(1, "slowly ")[0]["body"]}}]
    with account.stack.script({"contains": "slowly", "fault": {"latency_seconds": 6}}):
        found = fusionai.batch(asked, client=client, poll_seconds=0.2)
        early = [next(found) for _ in range(3)]
        (batch,) = client.batches.list().data
        assert batch.status == "in_progress" and all(one.error is None for one in early)
        (late,) = found
    assert sorted(one.custom_id for one in early) == ["line-1", "line-2", "line-3"]
    assert late.custom_id == "late" and late.error is None
    assert account.stack.violations() == []


#: A program whose results come as lines end; those after the first two are slow.
PROGRAM = """
import sys, fusionai
asked = [{"body": {"model": "gpt-4", "max_tokens": 20, "messages": [{"role": "user", "content": f"{word} {n}"}]}}
         for n, word in enumerate(["quick", "quick", "slowly", "slowly", "slowly", "slowly"])]
client = fusionai.FusionAI(base_url=sys.argv[1], api_key=sys.argv[2])
for result in fusionai.batch(asked, client=client, lines_per_batch=2, poll_seconds=0.05):
    print(result.custom_id, result.error is None, flush=True)
"""


def test_a_program_that_is_killed_goes_on_with_its_batches(account: Account) -> None:
    command = [sys.executable, "-c", PROGRAM, account.stack.url + "/v1", account.live_key]
    with account.stack.script({"contains": "slowly", "fault": {"latency_seconds": 2}}):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
            assert first.stdout is not None and first.stdout.readline() in ("line-1 True\n", "line-2 True\n")
            first.kill()
        again = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")
    assert sorted(filter(None, again)) == [f"line-{n} True" for n in range(1, 7)]
    assert len(jobs(account)) == 6 and len(account.live.get("/batches").json()["data"]) == 3
    assert account.stack.violations() == []


def test_a_batch_asks_for_the_cheaper_tier_of_models_that_have_one(client: FusionAI, account: Account) -> None:
    cheap = next(model.id for model in client.models.list() if "flex" in (model.price.service_tiers or {}))
    given = lines(1)[0]["body"] | {"model": cheap}
    (result,) = fusionai.batch([{"body": given}], client=client, poll_seconds=0.05)
    (job,) = client.jobs.list()
    assert result.error is None and client.jobs.input(job.id).body["service_tier"] == "flex"


def test_a_refused_batch_says_why(client: FusionAI) -> None:
    with pytest.raises(fusionai.BatchFailedError, match="no-such"):
        next(fusionai.batch([{"body": {"model": "no-such", "messages": ASKED}}], client=client, poll_seconds=0.05))


def test_everything_at_once_asynchronously(account: Account) -> None:
    async def ask() -> tuple[Any, ...]:
        async with AsyncFusionAI(base_url=account.stack.url + "/v1", api_key=account.live_key) as aio:

            async def streamed() -> str:
                text = ""
                async for chunk in await aio.chat.completions.create(
                    model="gpt-4", messages=ASKED, max_tokens=20, stream=True
                ):
                    text += chunk.choices[0].delta.content or "" if chunk.choices else ""
                return text

            async def batched() -> list[str]:
                found = fusionai.abatch(lines(3, "async "), client=aio, poll_seconds=0.05)
                return [one.custom_id async for one in found if one.error is None]

            async def waited() -> str:
                made = await aio.jobs.create(type="embedding", model="text-embedding-3-large", input="a")
                return (await aio.jobs.wait(made.id)).status

            done = await asyncio.gather(streamed(), batched(), waited())
            return (*done, len([job.id async for job in aio.jobs.list(limit=2)]))

    text, ids, status, count = asyncio.run(ask())
    assert text.startswith("Simulated answer") and ids == ["line-1", "line-2", "line-3"] and status == "succeeded"
    assert count == 5 and account.stack.violations() == []
