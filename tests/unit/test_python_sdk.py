"""The clients of the Python SDK beside what all SDKs do (`tests/sdk`): processes, threads, pickles, closing, keys."""

import asyncio
import copy
import logging
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

import fusionai
from fusionai import AsyncFusionAI, FusionAI
from fusionai.batch_parts import Cutter
from fusionai.errors import StreamError
from tests.sdk.scripted import Answer, Script, serving

KEY = "fusionai_live_a_secret"
ASKED: Any = [{"role": "user", "content": "a private question"}]
REFUSED: Answer = {"status": 400, "times": -1, "body": {"error": {"message": "no", "reason": "why", "code": 400}}}
CREDITS: Answer = {"to": "GET /credits", "times": -1, "body": {"object": "credits", "available": 1}}
CHUNK = 'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
#: A stream that says something and then nothing, for as long as a test takes.
OPEN: Answer = {
    "times": -1,
    "headers": {"Content-Type": "text/event-stream", "FusionAI-Job-Id": "job_1"},
    "sse": [CHUNK, {"silence_ms": 20_000}],
}


@contextmanager
def served(*answers: Answer, **options: Any) -> Iterator[tuple[FusionAI, Script]]:
    script = Script(answers)
    with serving({"x": script}) as url, FusionAI(base_url=f"{url}/x/v1", api_key=KEY, **options) as client:
        yield client, script


def failure(call: Callable[[], Any]) -> Exception:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def errors(client: FusionAI) -> list[Exception]:
    """One of each kind."""
    away = client.with_options(base_url="http://127.0.0.1:9/v1", max_retries=0)
    return [
        failure(lambda: client.chat.completions.create(model="m", messages=ASKED)),
        failure(lambda: away.chat.completions.create(model="m", messages=ASKED)),
        fusionai.StreamCutError(failure(away.credits.retrieve).request, "job_1", "e-1"),  # type: ignore[attr-defined]
        StreamError("it broke", None, {"code": 502, "reason": "r"}, "job_1"),
        fusionai.WaitTimeoutError("job_1", 3),
        fusionai.BatchFailedError("batch_1", [{"message": "bad"}]),
        fusionai.WebhookVerificationError("signature", "no"),
        fusionai.UnexpectedAnswerError("a page", request=None),
    ]


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_errors_go_to_other_processes_whole(again: Callable[[Exception], Exception]) -> None:
    with served(REFUSED) as (client, _):
        for error in errors(client):
            same: Any = again(error)
            assert type(same) is type(error) and str(same) == str(error)
            for name in ("reason", "job_id", "status_code", "last_event_id", "batch_id", "errors"):
                assert getattr(same, name, None) == getattr(error, name, None)


def test_neither_the_key_nor_what_was_asked_is_in_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with served(REFUSED) as (client, _), caplog.at_level(logging.DEBUG):
        for error in errors(client):
            told = "".join(traceback.format_exception(error)) + repr(error)
            for text in (told.encode(), pickle.dumps(error)):
                assert KEY.encode() not in text and b"private question" not in text
        assert KEY not in repr(client) and KEY not in caplog.text and "private question" not in caplog.text


def test_a_forked_process_has_connections_of_its_own() -> None:
    with served(CREDITS) as (client, script):
        client.credits.retrieve()
        pool = client._client
        other = client.with_options(timeout=7)
        if (child := os.fork()) == 0:
            code = 1
            try:
                client.credits.retrieve()
                other.credits.retrieve()
                code = 0 if client._client is not pool and other._client is not pool else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.credits.retrieve()
        assert client._client is pool and len(script.seen) == 4


def test_one_client_is_for_many_threads() -> None:
    with served(CREDITS) as (client, script), ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: client.credits.retrieve().available, range(64)))
    assert found == [1] * 64 and len(script.seen) == 64


def test_a_stream_that_is_closed_ends_and_is_not_read_on() -> None:
    with served(OPEN) as (client, script):
        with client.jobs.stream("job_1") as stream:
            assert next(stream).choices[0].delta.content == "a"
        assert list(stream) == [] and len(script.seen) == 1


def test_a_task_that_is_cancelled_frees_its_connection() -> None:
    async def ask(url: str) -> int:
        async with AsyncFusionAI(base_url=f"{url}/x/v1", api_key=KEY) as client:

            async def read() -> None:
                async for _ in client.jobs.stream("job_1"):
                    begun.set()

            begun = asyncio.Event()
            task = asyncio.create_task(read())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return sum(not one.is_closed() for one in client._client._transport._pool.connections)  # type: ignore[attr-defined]

    with serving({"x": Script([OPEN])}) as url:
        assert asyncio.run(ask(url)) == 0


def test_a_batch_without_a_client_closes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(FusionAI, "close", lambda self: closed.append(self))
    monkeypatch.setenv("FUSIONAI_API_KEY", KEY)
    assert list(fusionai.batch([])) == [] and len(closed) == 1


def test_openai_s_environment_is_nobody_s_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET", "BASE_URL"):
        monkeypatch.setenv(f"OPENAI_{name}", "theirs")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Theirs: theirs")
    monkeypatch.setenv("FUSIONAI_WEBHOOK_SECRET", "whsec_ours")
    with served(CREDITS) as (client, script):
        client.credits.retrieve()
        assert "theirs" not in str(script.seen[0]) and client.webhook_secret == "whsec_ours"
        assert client.with_options(timeout=3).webhook_secret == "whsec_ours"


def test_a_key_that_a_function_gives_is_cleaned_as_well() -> None:
    with served(CREDITS) as (client, script):
        client.with_options(api_key=lambda: f"{KEY}\n").credits.retrieve()
        assert script.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_of_requests_that_are_in_a_batch_only_marks_are_kept() -> None:
    cutter, parts = Cutter(100), 0
    for number in range(1_000):
        parts += cutter.add({"custom_id": f"request-{number}", "body": {"text": "x" * 500}}) is not None
    kept = pickle.dumps(vars(cutter))
    assert parts == 10 and len(kept) < 20_000 and b"request" not in kept and b"xxx" not in kept
