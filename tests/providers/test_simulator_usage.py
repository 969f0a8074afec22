"""What the simulator bills: each answered call once, with its request id, in reports of the providers' own forms."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from workers.simulator.server import simulator

HELLO: Any = [{"role": "user", "content": "Hello there, how are you?"}]


@pytest.fixture
def url() -> Iterator[str]:
    with simulator() as base:
        yield base


@pytest.fixture
def oai(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/openai/v1", api_key="key", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"{url}/anthropic", api_key="key", max_retries=0) as client:
        yield client


def script(url: str, **rule: Any) -> None:
    httpx.post(f"{url}/_simulator/script", json={"rules": [rule]}).raise_for_status()


def table(url: str, **query: str) -> list[dict[str, str]]:
    """The calls that were billed."""
    return list(csv.DictReader(io.StringIO(httpx.get(f"{url}/_simulator/usage", params=query).text)))


def results(url: str, path: str, **query: str) -> list[dict[str, Any]]:
    """The results of a report's buckets."""
    page = httpx.get(f"{url}/{path}", params=query).raise_for_status().json()
    assert page["has_more"] is False
    return [result for bucket in page["data"] for result in bucket["results"]]


def test_each_call_is_billed_with_the_request_id_that_its_caller_was_told(oai: openai.OpenAI, url: str) -> None:
    answers = [oai.chat.completions.create(model="gpt-4o", messages=HELLO) for _ in range(2)]
    rows = table(url, provider="openai")
    assert [row["request_id"] for row in rows] == [answer._request_id for answer in answers]
    assert len({row["request_id"] for row in rows}) == 2
    for row, answer in zip(rows, answers, strict=True):
        assert answer.usage is not None
        assert (int(row["input_tokens"]), int(row["output_tokens"])) == (
            answer.usage.prompt_tokens,
            answer.usage.completion_tokens,
        )


def test_a_stream_is_billed_like_the_whole_answer(oai: openai.OpenAI, claude: anthropic.Anthropic, url: str) -> None:
    oai.chat.completions.create(model="gpt-4o", messages=HELLO)
    list(
        oai.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True})
    )
    claude.messages.create(model="claude-opus-4-6", messages=HELLO, max_tokens=90)
    with claude.messages.stream(model="claude-opus-4-6", messages=HELLO, max_tokens=90) as stream:
        stream.until_done()
    whole, streamed, message, streamed_message = table(url)
    for one, other in ((whole, streamed), (message, streamed_message)):
        assert {name: one[name] for name in one if name.endswith("_tokens")} == {
            name: other[name] for name in other if name.endswith("_tokens")
        }


def test_refusals_are_not_billed_and_answers_that_are_lost_on_their_way_are(oai: openai.OpenAI, url: str) -> None:
    for rule, billed in (({"status": 500}, 0), ({"kind": "malformed_json"}, 1), ({"kind": "missing_usage"}, 2)):
        script(url, fault=rule)
        try:
            oai.chat.completions.create(model="gpt-4o", messages=HELLO)
        except Exception as error:
            assert billed < 2, error
        assert len(table(url)) == billed
    assert len({row["output_tokens"] for row in table(url)}) == 1


def test_openai_s_usage_and_costs(oai: openai.OpenAI, url: str) -> None:
    for model in ("gpt-4o", "gpt-4o", "gpt-6-sol"):
        oai.chat.completions.create(model=model, messages=HELLO)
    oai.embeddings.create(model="text-embedding-3-large", input="words")
    oai.images.generate(model="dall-e-3", prompt="a cat")
    grouped = results(url, "openai/v1/organization/usage/completions", **{"group_by": "model"})
    assert {row["model"]: row["num_model_requests"] for row in grouped} == {"gpt-4o": 2, "gpt-6-sol": 1}
    (whole,) = results(url, "openai/v1/organization/usage/completions")
    assert whole["model"] is None and whole["input_tokens"] == sum(row["input_tokens"] for row in grouped) > 0
    (embedded,) = results(url, "openai/v1/organization/usage/embeddings")
    assert embedded["num_model_requests"] == 1 and embedded["input_tokens"] == 2
    (drawn,) = results(url, "openai/v1/organization/usage/images")
    assert drawn["images"] == 1
    costs = results(url, "openai/v1/organization/costs", group_by="line_item")
    assert all(row["amount"]["currency"] == "usd" for row in costs)


def test_anthropic_s_usage_and_costs(claude: anthropic.Anthropic, url: str) -> None:
    long: Any = [{"type": "text", "text": "word " * 3000, "cache_control": {"type": "ephemeral"}}]
    said = [
        claude.messages.create(model="claude-opus-4-6", system=long, messages=HELLO, max_tokens=90).usage
        for _ in range(2)
    ]
    (row,) = results(url, "anthropic/v1/organizations/usage_report/messages", **{"group_by[]": "model"})
    assert row["model"] == "claude-opus-4-6"
    assert row["cache_creation"]["ephemeral_5m_input_tokens"] == said[0].cache_creation_input_tokens
    assert row["cache_read_input_tokens"] == said[1].cache_read_input_tokens
    assert row["uncached_input_tokens"] == sum(one.input_tokens for one in said)
    assert row["output_tokens"] == sum(one.output_tokens for one in said)
    (cost,) = results(url, "anthropic/v1/organizations/cost_report")
    assert cost["currency"] == "USD" and float(cost["amount"]) >= 0
