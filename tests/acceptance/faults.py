"""A stack for provider faults: a primary with one fault, a healthy spare, and what the client and the providers saw.

Every scenario has a primary of its own, so that what one teaches the stack about its provider is not known to the next.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from shared import clock
from tests.acceptance.sse import added_up, events
from tests.acceptance.stack import Account, Stack, own_stack
from tests.catalogues import served, written

SPARE = "spare"
#: Long enough that an answer can break off after its 40th.
WORDS = 60
WHOLE = re.compile(rf"Simulated answer [0-9a-f]{{6}} to: \D* [\d ]*{WORDS}")
#: Short limits make short tests: of a first byte while another offer is left, and of silence inside an answer.
TURN_SECONDS, IDLE_SECONDS = 1.5, 2.0
SETTINGS = {
    "CALL_TURN_SECONDS": str(TURN_SECONDS),
    "STREAM_TURN_SECONDS": str(TURN_SECONDS),
    "CALL_IDLE_SECONDS": str(IDLE_SECONDS),
    "STREAM_IDLE_SECONDS": str(IDLE_SECONDS),
    "RETRY_BASE_SECONDS": "1",
    "PAUSE_SECONDS": "1",
    "PAUSE_MOST_SECONDS": "30",
}
#: What a slow machine may take beside the times that are asked for.
SLACK_SECONDS = 4.0
#: Price of an answer's token at a primary and at the spare, in micro-credits a million.
PRIMARY_PRICE, SPARE_PRICE = 100_000_000, 700_000_000

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["unstreamed", "streamed"])


def primary(scenario: str, stream: bool = False) -> str:
    """The provider of a scenario, and the model that it alone serves."""
    return f"{scenario}{'-streamed' if stream else ''}"


def catalogue_file(directory: Path, scenarios: Sequence[str]) -> str:
    """The shipped catalogue, a primary for each scenario in both ways, and the spare."""
    names = [primary(scenario, stream) for scenario in scenarios for stream in (False, True)]
    return written(directory, *(served(name, PRIMARY_PRICE) for name in names), served(SPARE, SPARE_PRICE))


@dataclass(frozen=True)
class Got:
    """What the client got: `error` is an error's object, of the answer or of its stream; else `choice`."""

    status: int
    job_id: str
    seconds: float
    text: str = ""
    finish: str | None = None
    model: str = ""
    error: Any = None

    @property
    def whole(self) -> bool:
        """One answer from its first word to its last, and nothing of another."""
        numbers = [int(word) for word in self.text.partition(" to: ")[2].split() if word.isdecimal()]
        in_order = numbers == list(range(WORDS - len(numbers) + 1, WORDS + 1))
        return self.error is None and self.finish == "stop" and bool(WHOLE.fullmatch(self.text)) and in_order


def ask(account: Account, model: str, *, stream: bool, content: str = "how are you", **routing: Any) -> Got:
    """One chat, with the spare to fall back to."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 400,
        "stream": stream,
        "routing": {"fallbacks": [SPARE], **routing},
    }
    began = clock.monotonic()
    if not stream:
        answer = account.live.post("/chat/completions", json=body)
        return _unstreamed(answer, clock.monotonic() - began)
    with account.live.stream("POST", "/chat/completions", json=body) as answer:
        if answer.status_code != 200:
            answer.read()
            return _unstreamed(answer, clock.monotonic() - began)
        data = [event.data for event in events(answer)]
        return _streamed(answer, data, clock.monotonic() - began)


def _unstreamed(answer: httpx.Response, seconds: float) -> Got:
    job_id, body = answer.headers.get("fusionai-job-id", ""), answer.json()
    if answer.status_code != 200:
        return Got(answer.status_code, job_id, seconds, error=body["error"])
    (choice,) = body["choices"]
    text = choice["message"]["content"]
    return Got(200, job_id, seconds, text or "", choice["finish_reason"], body["model"])


def _streamed(answer: httpx.Response, data: list[str], seconds: float) -> Got:
    job_id, read = answer.headers["fusionai-job-id"], [orjson.loads(one) for one in data if one != "[DONE]"]
    error = next((one["error"] for one in read if "error" in one), None)
    assert (data[-1] == "[DONE]") == (error is None), "a whole stream ends with [DONE], a broken one with its error"
    chunks = [one for one in read if one.get("choices")]
    if not chunks:
        return Got(200, job_id, seconds, error=error)
    (choice,) = added_up(chunks)
    text, finish = choice["message"]["content"] or "", choice["finish_reason"]
    return Got(200, job_id, seconds, text, finish, chunks[-1]["model"], error)


def fault(provider: str, *, kind: str = "", times: int | None = None, **more: Any) -> dict[str, Any]:
    """A rule: this goes wrong at the provider; its answers, where there are any, have WORDS words."""
    rule = {"provider": provider, "fault": {"kind": kind, "answer_tokens": WORDS, **more}}
    return rule if times is None else rule | {"times": times}


#: Every answer without a fault is as long.
HEALTHY: dict[str, Any] = {"fault": {"answer_tokens": WORDS}}


def made(directory: Path, scenarios: Sequence[str], **settings: str) -> AbstractContextManager[Stack]:
    """The running stack, with a Redis of its own."""
    return own_stack(directory, **SETTINGS | settings, CATALOGUE=catalogue_file(directory, scenarios))


def check_served(account: Account, got: Got, by: str) -> dict[str, Any]:
    """The client got a whole answer of that provider's, and so says the job; the job."""
    assert got.status == 200 and got.whole, got
    job = account.finished(got.job_id)
    assert (
        job["status"] == "succeeded" and job["served_by"]["provider"] == by and got.model == job["served_by"]["model"]
    )
    return job
