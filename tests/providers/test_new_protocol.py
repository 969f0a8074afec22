"""A provider of a protocol of its own is one module, which a row of the catalogue names; nothing else is touched."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.errors import ProviderError
from shared.submissions import catalogue
from shared.submissions.offers import Offer
from tests.catalogues import served
from tests.providers import protocols
from tests.providers.scripted import Step, serving
from tests.providers.test_call_limits import HEAD, PATIENT, STREAM, Kept
from workers import providers
from workers.providers import ProviderAnswer, ProviderCall
from workers.upstream.faults import classify
from workers.upstream.transport import ProviderClient

MODULE = "workers.providers.example"
OFFER = Offer(
    provider="ex", model="ours", upstream="theirs", input=1, output=1, version="v", bound_micros=1, max_output=9
)
REQUEST = {"messages": [{"role": "user", "content": "hi"}], "seed": 7}
ANSWER = {"text": "Hello you", "stopped": "end", "tokens": {"in": 7, "out": 3}}


@pytest.fixture(autouse=True)
def _adapter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if its one file lay in workers/providers."""
    monkeypatch.setattr(providers, "__path__", [*providers.__path__, str(Path(protocols.__file__).parent)])
    monkeypatch.setenv("EXAMPLE_KEY", "example-secret")
    yield
    sys.modules.pop(MODULE, None)


def row(url: str) -> str:
    """The provider's row."""
    return served("ex", base_url=url, key="EXAMPLE_KEY").replace('protocol = "openai"', 'protocol = "example"')


def called(*steps: Step, sink: Kept | None = None) -> ProviderAnswer:
    """The answer to a call through the catalogue."""

    async def main() -> ProviderAnswer:
        async with serving(steps) as upstream, ProviderClient(2) as client:
            reachable = providers.connect(catalogue.read(row(upstream.url)), client)
            assert type(reachable["ex"]).__module__ == MODULE
            return await reachable["ex"].call(ProviderCall("job_1", "chat.completion", REQUEST, OFFER, sink, PATIENT))

    return asyncio.run(main())


def whole(body: Any) -> bytes:
    content = orjson.dumps(body)
    return HEAD % (b"x-ratelimit-limit-requests: 10\r\n", len(content)) + content


def test_it_answers_in_the_canonical_shape() -> None:
    answer = called(whole(ANSWER))
    assert answer.body["choices"][0]["message"]["content"] == "Hello you"
    assert (answer.body["id"], answer.body["model"]) == ("chatcmpl-1", "ours")
    assert answer.body["choices"][0]["finish_reason"] == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 3)
    assert answer.ignored == ["seed"], "what it does not know is listed"
    assert answer.limits is not None and answer.limits.requests is not None and answer.limits.requests.limit == 10


def test_it_streams() -> None:
    pieces = [{"text": "Hello"}, {"text": " you"}, {**ANSWER, "text": ""}]
    sink = Kept()
    answer = called(STREAM % b"" + b"".join(b"data: %s\n\n" % orjson.dumps(piece) for piece in pieces), sink=sink)
    assert "".join(sink.said) == "Hello you" == answer.body["choices"][0]["message"]["content"]
    assert answer.usage.completion_tokens == 3


def test_its_errors_are_read_and_its_wrong_answers_named() -> None:
    refused = b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'
    with pytest.raises(ProviderError) as error:
        called(b"HTTP/1.1 429 No\r\nRetry-After: 3\r\nContent-Length: %d\r\n\r\n%s" % (len(refused), refused))
    assert (classify(error.value), error.value.wait_seconds) == ("rate", 3)
    with pytest.raises(ProviderError, match="stopped is neither") as error:
        called(whole({**ANSWER, "stopped": "why not"}))
    assert classify(error.value) == "shape"
    with pytest.raises(ProviderError, match="does not follow the protocol") as error:
        called(whole({"text": "Hello"}))
    assert classify(error.value) == "shape"


@pytest.mark.parametrize("protocol", ["openay", "base.url", ""])
def test_a_protocol_that_nothing_speaks_ends_the_process_with_a_sentence(protocol: str) -> None:
    rows = row("http://127.0.0.1:9").replace('protocol = "example"', f'protocol = "{protocol}"')
    said = f"providers.ex.protocol: '{protocol}' is none of anthropic, example, google, openai"
    with pytest.raises(SystemExit, match=said):
        providers.connect(catalogue.read(rows), ProviderClient(1))
