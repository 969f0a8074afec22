"""Gemini's own protocol through the adapter, against the simulator over HTTP."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from shared.submissions.catalogue import Endpoint, catalogue
from tests.providers.test_call_limits import PATIENT, Kept
from tests.providers.test_google_request import ask
from workers.providers import ProviderAnswer, ProviderCall, google
from workers.simulator.server import simulator
from workers.upstream.live_transport import live_client


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator() as base:
        yield base


def called(url: str, call: ProviderCall, sink: Kept | None = None) -> ProviderAnswer:
    """The answer to a call over HTTP."""

    async def main() -> ProviderAnswer:
        async with live_client(2) as client:
            endpoint = Endpoint(f"{url}/google/v1beta", "simulated", simulated=True)
            upstream = google.connect(catalogue().providers["google"], endpoint, client)
            asked = ProviderCall(call.job_id, call.type, call.request, call.offer, sink, PATIENT)
            return await upstream.call(asked)

    return asyncio.run(main())


def choice(answer: ProviderAnswer) -> dict[str, Any]:
    (one,) = answer.body["choices"]
    return dict(one)


def test_a_text_is_answered(url: str) -> None:
    answer = called(url, ask(messages=[{"role": "user", "content": "Hello there"}]))
    assert choice(answer)["message"]["content"].endswith("to: Hello there")
    assert (choice(answer)["finish_reason"], answer.body["model"], answer.status_code) == ("stop", "ours", 200)
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0 and not answer.usage.estimated
