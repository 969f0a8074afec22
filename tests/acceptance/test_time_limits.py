"""How long calls wait for their jobs, and when streams begin: as the caller says, else as the server is set."""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk
from sqlalchemy import text

from tests.acceptance.sse import added_up
from tests.acceptance.stack import Account, Stack, chat, embedding, image, own_stack
from tests.conditions import await_condition

T = TypeVar("T")

#: The server's own limits here, in seconds.
WAIT, BEGIN = 4.0, 0.5
#: What a small machine may take longer than it should, in seconds.
SLACK = 1.0


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with short limits."""
    directory = tmp_path_factory.mktemp("brief")
    with own_stack(directory, WAIT_SECONDS=str(WAIT), STREAM_BEGIN_SECONDS=str(BEGIN)) as running:
        first = running.account()
        first.run(chat())  # what processes load at their first job is not to be measured
        first.close()
        yield running


@pytest.fixture
def account(brief: Stack) -> Iterator[Account]:
    """A customer of it."""
    made = brief.account()
    yield made
    made.close()


_made: list[OpenAI] = []


@pytest.fixture(autouse=True)
def _hung_up() -> Iterator[None]:
    """The SDK's clients of a test are closed with it: an error that it has raised holds on to its own."""
    yield
    while _made:
        _made.pop().close()


def sdk(account: Account, **more: Any) -> OpenAI:
    """The official SDK with its default retries."""
    _made.append(OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, **more))
    return _made[-1]


def bare(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "type"}


def finished(account: Account, id: str) -> dict[str, Any]:
    """The job when it has ended; a poll lasts no longer here than a call."""
    await_condition(lambda: account.live.get(f"/jobs/{id}", params={"wait": WAIT}).json()["finished_at"])
    return account.finished(id)


def in_time(measure: Callable[[], T], *, least: float = 0.0, most: float) -> T:
    """What `measure` returns in so many seconds; never sooner.

    A machine that has other things to do can only make it later: then it is measured again, up to three times in all.
    """
    for _ in range(3):
        began = time.monotonic()
        value = measure()
        took = time.monotonic() - began
        assert took >= least, f"{took} s"
        if took < most:
            return value
    raise AssertionError(f"{took} s, and in none of three times less than {most}")


def silent(seconds: float, **more: Any) -> dict[str, Any]:
    """A rule: no provider says anything for so long."""
    return {"fault": {"latency_seconds": seconds, **more}}


def check_late(account: Account, answer: httpx.Response, *, waited: float) -> str:
    """A 504 that names its job, which ends well, and of which it was known for how long somebody would wait."""
    error = answer.json()["error"]
    id = str(answer.headers["fusionai-job-id"])
    assert answer.status_code == 504 and error["type"] == "timeout" and id in error["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert finished(account, id)["status"] == "succeeded"
    (known,) = account.stack.database.read_sync(
        lambda connection: connection.execute(
            text("SELECT wait_until - created_at FROM jobs JOIN job_payloads ON job_id = id WHERE id = :id"), {"id": id}
        ).one()
    )
    assert known == waited * 1_000_000
    return str(error["message"])


@pytest.mark.parametrize(
    ("headers", "waited"),
    [({}, WAIT), ({"Prefer": "wait=1"}, 1.0), ({"X-Stainless-Read-Timeout": "3.5"}, 1.75)],
    ids=["the server's limit", "Prefer", "an SDK's timeout"],
)
def test_the_answer_comes_when_the_caller_has_waited_long_enough(
    account: Account, brief: Stack, headers: dict[str, str], waited: float
) -> None:
    with brief.script(silent(waited + 1)):
        ask = partial(account.live.post, "/chat/completions", json=bare(chat("late")), headers=headers)
        answer = in_time(ask, least=waited, most=waited + SLACK)
        assert "use stream: true" in check_late(account, answer, waited=waited)


@pytest.mark.parametrize(("path", "body"), [("/embeddings", embedding()), ("/images", image())])
def test_what_cannot_be_streamed_is_not_told_to_be(
    account: Account, brief: Stack, path: str, body: dict[str, Any]
) -> None:
    with brief.script(silent(1.5)):
        answer = account.live.post(path, json=bare(body), headers={"Prefer": "wait=1"})
        assert "stream" not in check_late(account, answer, waited=1)


def test_an_answer_in_time_is_an_answer_whatever_the_sdk_was_told(account: Account, brief: Stack) -> None:
    """Also without a timeout at all."""
    with brief.script(silent(2.0)):
        for timeout in (None, 600.0, 8.0):
            client = sdk(account, timeout=timeout)
            assert client.chat.completions.create(**bare(chat("in time"))).choices[0].message.content


def test_the_sdk_hears_of_its_job_before_it_gives_up(account: Account, brief: Stack) -> None:
    with brief.script(silent(3.0)):
        with pytest.raises(openai.InternalServerError) as late:
            sdk(account, timeout=3.0).chat.completions.create(**bare(chat("impatient")))
        check_late(account, late.value.response, waited=1.5)
    assert len(account.live.get("/jobs").json()["data"]) == 1, "and does not send it again"


def test_prefer_is_heard_from_the_sdk_and_the_504_is_not_sent_again(account: Account, brief: Stack) -> None:
    """With the SDK's default retries; the job is bought once, and is there to be fetched."""
    with brief.script(silent(3.0)):
        with pytest.raises(openai.InternalServerError) as late:
            sdk(account).chat.completions.create(**bare(chat("prefer")), extra_headers={"Prefer": "wait=2"})
        said = check_late(account, late.value.response, waited=2)
        id = late.value.response.headers["fusionai-job-id"]
        assert said == f"job {id} has not finished yet and continues; get it at /v1/jobs/{id}, or use stream: true"
        assert late.value.type == "timeout" and late.value.request_id and len(brief.seen("openai")) == 1
    (job,) = account.live.get("/jobs").json()["data"]
    assert job["id"] == id and job["usage"]["credits_used"] > 0 and brief.violations() == []


def test_nobody_waits_for_what_was_only_to_be_accepted(account: Account) -> None:
    account.submit(chat())
    account.live.post("/chat/completions", json=bare(chat()), headers={"Prefer": "respond-async, wait=2"})
    account.live.post("/jobs", json={"jobs": [chat()]})
    found = account.stack.database.read_sync(
        lambda connection: connection.execute(
            text("SELECT wait_until FROM jobs JOIN job_payloads ON job_id = id WHERE account_id = :id"),
            {"id": account.id},
        ).all()
    )
    assert [tuple(row) for row in found] == [(None,)] * 3


def test_a_long_poll_ends_with_the_servers_patience(account: Account, brief: Stack) -> None:
    with brief.script(silent(WAIT + 1.5)):
        for headers, waited in (({"X-Stainless-Read-Timeout": "2"}, 1.0), ({}, WAIT)):

            def poll(headers: dict[str, str] = headers) -> dict[str, Any]:
                path = f"/jobs/{account.submit(chat('poll'))['id']}"
                return dict(account.live.get(path, params={"wait": 300}, headers=headers).json())

            job = in_time(poll, least=waited, most=waited + SLACK)
            assert job["status"] == "running"


@pytest.mark.parametrize("timeout", [600.0, 1.2])
def test_a_stream_of_a_silent_provider_begins_and_comes_whole(account: Account, brief: Stack, timeout: float) -> None:
    """By the official SDK; also when it would bear no silence that is half as long."""
    with brief.script(silent(2.5)):

        def begin() -> tuple[float, Any]:
            client = sdk(account, timeout=timeout)
            return time.monotonic(), client.chat.completions.create(**bare(chat("slow start", stream=True)))

        began, stream = in_time(begin, most=BEGIN + SLACK)
        chunks = [chunk.model_dump(mode="json", exclude_unset=True) for chunk in stream]
        assert time.monotonic() - began >= 2.5
    job = finished(account, stream.response.headers["fusionai-job-id"])
    assert added_up(chunks) == job["result"]["choices"] and len(job["attempts"]) == 1


def blocks(answer: httpx.Response) -> list[bytes]:
    """A stream's events by a reader that takes every blank line for the end of one."""
    assert answer.status_code == 200 and answer.content.endswith(b"\n\n"), answer.text
    return answer.content[:-2].split(b"\n\n")


def test_no_blank_line_ends_nothing_and_ids_come_only_when_asked_for(account: Account, brief: Stack) -> None:
    """The provider speaks slowly as well: comments stand before and between the events."""
    rules = {"fault": {"latency_seconds": 1.5, "kind": "slow_body", "seconds": 2}}
    headers = {"X-Stainless-Read-Timeout": "1"}  # it wants to hear something twice a second
    with brief.script(rules):
        for ids in ({}, {"FusionAI-Stream-Ids": "true"}, {"FusionAI-Stream-Ids": "false"}):
            body = bare(chat("say it slowly", stream=True))
            answer = account.live.post("/chat/completions", json=body, headers=headers | ids)
            wanted = ids.get("FusionAI-Stream-Ids") == "true"
            for block in (found := blocks(answer)):
                lines = [line for line in block.split(b"\n") if not line.startswith(b":")]
                assert lines[-1].startswith(b"data: ") and len(lines) == (
                    2 if wanted and lines[0].startswith(b"id: ") else 1
                )
            assert found[-1] == b"data: [DONE]" and answer.content.count(b": keep-alive\n") >= 2
            assert any(block.split(b"\n")[-2:][0].startswith(b"id: ") for block in found) == wanted


#: It wants to hear something twice a second; its own timeout is wide, so that a slow machine is not told apart.
OFTEN = {"X-Stainless-Read-Timeout": "1"}
#: A provider that pauses between its events for longer than that: about 4 s for the whole of a short answer.
PAUSING = {"fault": {"kind": "slow_body", "seconds": 4}}


def check_paused(account: Account, chunks: list[ChatCompletionChunk], times: list[float], id: str) -> None:
    """Every chunk came, at least one after a pause that was filled with comments, and nothing that is none."""
    assert max(later - sooner for sooner, later in pairwise(times)) > 0.6
    job = finished(account, id)
    plain = [chunk.model_dump(mode="json", exclude_unset=True) for chunk in chunks]
    assert added_up(plain) == job["result"]["choices"] and len(job["attempts"]) == 1


@pytest.mark.parametrize("ids", [{}, {"FusionAI-Stream-Ids": "true"}], ids=["without ids", "with ids"])
def test_pauses_in_the_middle_of_a_stream_are_nothing_to_the_sdk(
    account: Account, brief: Stack, ids: dict[str, str]
) -> None:
    """It keeps the id of an event, and would take a blank line after a comment for another event, an empty one."""
    body = bare(chat("one", max_tokens=2, stream=True))
    with brief.script(PAUSING):
        stream = sdk(account, max_retries=0).chat.completions.create(**body, extra_headers=OFTEN | ids)
        seen = [(chunk, time.monotonic()) for chunk in stream]
    check_paused(account, *map(list, zip(*seen, strict=True)), stream.response.headers["fusionai-job-id"])  # type: ignore[arg-type]


def test_nor_are_they_to_the_asynchronous_one(account: Account, brief: Stack) -> None:
    async def main() -> tuple[list[ChatCompletionChunk], list[float], str]:
        async with AsyncOpenAI(base_url=brief.url + "/v1", api_key=account.live_key, max_retries=0) as client:
            body = bare(chat("one", max_tokens=2, stream=True))
            stream = await client.chat.completions.create(**body, extra_headers=OFTEN | {"FusionAI-Stream-Ids": "true"})
            seen = [(chunk, time.monotonic()) async for chunk in stream]
        return [chunk for chunk, _ in seen], [at for _, at in seen], stream.response.headers["fusionai-job-id"]

    with brief.script(PAUSING):
        check_paused(account, *asyncio.run(main()))


def test_what_fails_before_the_beginning_is_a_plain_error_and_after_it_an_event(account: Account, brief: Stack) -> None:
    for seconds, begun in ((0.0, False), (1.5, True)):
        with brief.script(silent(seconds, status=400, message="no such thing")):
            answer = account.live.post("/chat/completions", json=bare(chat("refused", stream=True)))
        id = answer.headers["fusionai-job-id"]
        assert answer.status_code == (200 if begun else 400)
        said = openai_error(answer) if begun else answer.json()["error"]
        assert said["type"] == "invalid_request" and "no such thing" in said["message"]
        assert not begun or (said["job_id"] == id and id in said["message"])
    with brief.script(silent(1.5, status=400, message="no such thing")), pytest.raises(openai.APIError) as raised:
        list(sdk(account).chat.completions.create(**bare(chat("refused", stream=True))))
    assert "no such thing" in raised.value.message and "job_" in raised.value.message


def openai_error(answer: httpx.Response) -> dict[str, Any]:
    """The error that ends a stream."""
    last = blocks(answer)[-1]
    return dict(httpx.Response(200, content=last.rpartition(b"data: ")[2]).json()["error"])


def test_a_stream_without_an_event_ends_when_its_caller_waits_no_longer(account: Account, brief: Stack) -> None:
    with brief.script(silent(3.0)):
        body = bare(chat("nothing", stream=True))
        ask = partial(account.live.post, "/chat/completions", json=body, headers={"Prefer": "wait=1"})
        answer = in_time(ask, least=1, most=1 + SLACK)
        error = openai_error(answer)
        id = answer.headers["fusionai-job-id"]
        assert (error["type"], error["code"], error["job_id"]) == ("timeout", 504, id) and id in error["message"]
        assert account.live.get(f"/jobs/{id}/stream").text.endswith("data: [DONE]\n\n"), "it goes on, and can be read"


#: The limits of a call that is not streamed, in seconds: of its beginning while another offer is left, and in all.
TURN, CALL = 1.0, 3.0


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose calls have a short limit, and whose streams have a long one."""
    given = {"CALL_FIRST": CALL, "CALL": CALL, "CALL_TURN": TURN, "STREAM_TURN": TURN, "STREAM_BEGIN": BEGIN}
    limits = {f"{name}_SECONDS": str(seconds) for name, seconds in given.items()}
    with own_stack(tmp_path_factory.mktemp("patient"), **limits) as running:
        yield running


@pytest.fixture
def customer(patient: Stack) -> Iterator[Account]:
    """A customer of it."""
    made = patient.account()
    yield made
    made.close()


def test_a_stream_that_is_still_producing_is_not_cut_by_the_limit_of_a_call(customer: Account, patient: Stack) -> None:
    with patient.script({"fault": {"kind": "slow_body", "seconds": CALL + 1.5}}):
        began = time.monotonic()
        body = bare(chat("one two three four five six seven eight nine ten", stream=True))
        stream = sdk(customer, max_retries=0).chat.completions.create(**body)
        chunks = [chunk.model_dump(mode="json", exclude_unset=True) for chunk in stream]
        assert time.monotonic() - began > CALL and len(patient.seen("openai")) == 1
    job = customer.finished(stream.response.headers["fusionai-job-id"])
    assert chunks[-1]["choices"][0]["finish_reason"] and added_up(chunks) == job["result"]["choices"]
    assert [attempt["status_code"] for attempt in job["attempts"]] == [200] and patient.violations() == []


def test_an_answer_that_begins_late_comes_where_nobody_else_could_give_it(customer: Account, patient: Stack) -> None:
    """And is turned from only while another offer is left: then it is asked of the provider as a stream."""
    with patient.script({"provider": "openai", "fault": {"latency_seconds": TURN + 0.6}}):
        alone = sdk(customer).chat.completions.create(**bare(chat("late")))
        assert alone.choices[0].message.content and len(patient.seen("openai")) == 1
        routing = {"routing": {"fallbacks": ["claude-3-sonnet"]}}
        other = sdk(customer).chat.completions.create(**bare(chat("late")), extra_body=routing)
        assert other.model == "claude-3-sonnet"
    jobs = customer.live.get("/jobs").json()["data"]
    assert [len(job["attempts"]) for job in jobs] == [2, 1] and patient.violations() == []
