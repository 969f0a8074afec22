"""Usage as providers spell it, wherever it stands; what makes no sense is counted here, and said to be an estimate."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money.pricing import Amount, UnitPrices, charge
from shared.submissions.catalogue import catalogue
from shared.submissions.quote import offers
from shared.submissions.schemas import Usage, read_submission
from tests.unit.test_openai_protocol import answered, ask
from tests.unit.test_stream_gathering import PLAIN, Kept, call, wire
from workers.answers import estimates, reported
from workers.providers import ProviderCall, openai

OPENAI = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}


def told(**usage: Any) -> tuple[int | None, ...]:
    """Prompt, completion, cached, written, reasoning."""
    found = reported.of({"usage": usage})
    assert found is not None and not found.estimated
    return (
        found.prompt_tokens,
        found.completion_tokens,
        found.cached_tokens,
        found.cache_creation_tokens,
        found.reasoning_tokens,
    )


#: (what is said, what it is)
SPELLINGS: list[tuple[dict[str, Any], tuple[int | None, ...]]] = [
    (OPENAI, (1000, 10, None, None, None)),
    (
        {
            **OPENAI,
            "prompt_tokens_details": {"cached_tokens": 900, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
        (1000, 10, 900, None, 4),
    ),
    ({**OPENAI, "prompt_tokens_details": {"cached_tokens": 0}}, (1000, 10, 0, None, None)),
    ({**OPENAI, "prompt_tokens_details": None, "completion_tokens_details": {}}, (1000, 10, None, None, None)),
    # OpenRouter
    ({**OPENAI, "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 90}}, (1000, 10, 5, 90, None)),
    # DeepSeek
    ({**OPENAI, "prompt_cache_hit_tokens": 900, "prompt_cache_miss_tokens": 100}, (1000, 10, 900, None, None)),
    # Moonshot
    ({**OPENAI, "cached_tokens": 7}, (1000, 10, 7, None, None)),
    # Anthropic's own, where the input has neither in it
    (
        {"input_tokens": 40, "output_tokens": 9, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 60},
        (1000, 9, 900, 60, None),
    ),
    (
        {"input_tokens": 40, "output_tokens": 9, "cache_creation": {"ephemeral_5m_input_tokens": 60, "x": None}},
        (100, 9, None, 60, None),
    ),
    # a gateway to Anthropic, with OpenAI's names: the prompt has them in it
    ({**OPENAI, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 60}, (1000, 10, 900, 60, None)),
    # another, where it has not, as the total says
    (
        {"prompt_tokens": 40, "completion_tokens": 9, "total_tokens": 949, "cache_read_input_tokens": 900},
        (940, 9, 900, None, None),
    ),
    # OpenAI's Responses
    (
        {"input_tokens": 1000, "output_tokens": 10, "input_tokens_details": {"cached_tokens": 900},
         "output_tokens_details": {"reasoning_tokens": 4}},
        (1000, 10, 900, None, 4),
    ),
    # Google's own: what it says of candidates has no thoughts in it
    (
        {"promptTokenCount": 1000, "candidatesTokenCount": 6, "thoughtsTokenCount": 4, "totalTokenCount": 1010,
         "cachedContentTokenCount": 900},
        (1000, 10, 900, None, 4),
    ),
    # xAI: neither has its completion
    (
        {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135,
         "completion_tokens_details": {"reasoning_tokens": 94}},
        (32, 103, None, None, 94),
    ),
    # numbers as texts and floats
    ({"prompt_tokens": "1000", "completion_tokens": 10.0, "cached_tokens": "900"}, (1000, 10, 900, None, None)),
    ({"prompt_tokens": 9.2, "completion_tokens": "3.0"}, (10, 3, None, None, None)),
    ({"completion_tokens": 3, "total_tokens": 10}, (7, 3, None, None, None)),
    # parts that are more than the whole, or no numbers, are not known
    ({**OPENAI, "prompt_tokens_details": {"cached_tokens": 1001}}, (1000, 10, None, None, None)),
    ({**OPENAI, "prompt_tokens_details": {"cached_tokens": -1}}, (1000, 10, None, None, None)),
    ({**OPENAI, "prompt_tokens_details": {"cached_tokens": "many"}}, (1000, 10, None, None, None)),
    ({**OPENAI, "prompt_tokens_details": {"cached_tokens": True}}, (1000, 10, None, None, None)),
    ({**OPENAI, "prompt_tokens_details": {"cached_tokens": 900, "cache_write_tokens": 200}}, (1000, 10, *[None] * 3)),
    ({**OPENAI, "prompt_tokens_details": [900]}, (1000, 10, None, None, None)),
    ({**OPENAI, "completion_tokens_details": {"reasoning_tokens": 11}}, (1000, 10, None, None, None)),
    ({**OPENAI, "completion_tokens_details": {"reasoning_tokens": 10**30}}, (1000, 10, None, None, None)),
]  # fmt: skip


@pytest.mark.parametrize(("usage", "meant"), SPELLINGS)
def test_what_providers_say(usage: dict[str, Any], meant: tuple[int | None, ...]) -> None:
    assert told(**usage) == meant


@pytest.mark.parametrize(
    "body",
    [
        {"usage": OPENAI},
        {"usage": None, "x_groq": {"id": "r", "usage": OPENAI}},
        {"choices": [{"index": 0, "usage": OPENAI}]},
        {"usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 10, "totalTokenCount": 1010}},
    ],
)
def test_where_it_may_stand(body: dict[str, Any]) -> None:
    found = reported.of(body)
    assert found is not None and (found.prompt_tokens, found.completion_tokens) == (1000, 10)
    (end,) = PLAIN[-1]["choices"]
    chunks = (*PLAIN[:-1], {**body, "choices": [end | body.get("choices", [{}])[0]]})
    used = call(wire(*chunks, "[DONE]"), sink=Kept()).usage
    assert (used.prompt_tokens, used.completion_tokens, used.estimated) == (1000, 10, False)


@pytest.mark.parametrize(
    "usages",
    [
        [{"prompt_tokens": 7, "completion_tokens": n, "total_tokens": 7 + n} for n in (1, 2, 3)],
        [{"prompt_tokens": 7, "completion_tokens": 0}, None, {"prompt_tokens": 0, "completion_tokens": 3}],
        [{"prompt_tokens": 7, "completion_tokens": 3}, {}, None],
        [{"input_tokens": 7, "output_tokens": 1}, {"output_tokens": 3}, "none"],
    ],
)
def test_usage_in_every_chunk_grows(usages: list[Any]) -> None:
    chunks = [{**chunk, "usage": usage} for chunk, usage in zip(PLAIN[1:], usages, strict=True)]
    used = call(wire(PLAIN[0], *chunks, "[DONE]"), sink=Kept()).usage
    assert (used.prompt_tokens, used.completion_tokens, used.estimated) == (7, 3, False)


#: One picture in a data URL of a megabyte.
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}


def test_what_is_not_told_is_counted_as_what_it_is() -> None:
    content = [{"type": "text", "text": "x" * 4000}, PICTURE]
    request = {"messages": [{"role": "user", "content": content}], "n": 1, "max_tokens": 50}
    choices = [{"message": {"content": "y" * 40, "reasoning_content": "z" * 40, "tool_calls": []}}]
    overheads = catalogue().overheads
    used = estimates.of_chat(None, request, choices, overheads, 50)
    assert used == Usage(prompt_tokens=1004 + overheads.image, completion_tokens=20, estimated=True)
    assert estimates.of_chat(None, request, choices, overheads, 15).completion_tokens == 15


@pytest.mark.parametrize(
    ("usage", "prompt", "completion", "estimated"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3}, 7, 3, False),
        ({"prompt_tokens": 7, "completion_tokens": 0}, 7, 1, True),
        ({"prompt_tokens": 0, "completion_tokens": 3}, 5, 3, True),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, 5, 1, True),
        ({"total_tokens": 0}, 5, 1, True),
    ],
)
def test_a_zero_where_there_was_something_is_not_believed(
    usage: Any, prompt: int, completion: int, estimated: bool
) -> None:
    given = ask(n=1, tools=None, response_format=None)
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    used = openai.read(given, 200, orjson.dumps({"choices": [choice], "usage": usage})).usage
    assert (used.prompt_tokens, used.completion_tokens, used.estimated) == (prompt, completion, estimated)
    silent = {**choice, "message": {"content": ""}}
    used = openai.read(
        given, 200, orjson.dumps({"choices": [silent], "usage": {**OPENAI, "completion_tokens": 0}})
    ).usage
    assert (used.prompt_tokens, used.completion_tokens, used.estimated) == (1000, 0, False)


@pytest.mark.parametrize(
    ("given", "tokens"), [("x" * 40, 10), (["x" * 40, "y"], 11), ([1, 2, 3], 3), ([[1, 2], [3]], 3)]
)
def test_an_embedding_without_usage_is_counted(given: Any, tokens: int) -> None:
    count = len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1
    data = [{"index": n, "embedding": [0.5]} for n in range(count)]
    for usage in (None, {"prompt_tokens": 0, "total_tokens": 0}, {"prompt_tokens": "?"}):
        answer = openai.read(ask("embedding", input=given), 200, orjson.dumps({"data": data, "usage": usage}))
        assert answer.usage == Usage(prompt_tokens=tokens, estimated=True)
    assert not answered("embedding").usage.estimated


texts = st.text(max_size=40)
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("0123456789.-e", max_size=30),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(sorted(OPENAI)), inner, max_size=2),
    max_leaves=4,
)
NAMES = [
    *OPENAI, "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cache_read_input_tokens",
    "cache_creation_input_tokens", "prompt_cache_hit_tokens", "thoughtsTokenCount", "candidatesTokenCount",
    "prompt_tokens_details", "completion_tokens_details", "cache_creation",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), junk | st.dictionaries(st.sampled_from(NAMES), junk)), texts, texts)
def test_nothing_that_a_provider_says_does_harm(usage: Any, asked: str, said: str) -> None:
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": asked or "x"}], "max_tokens": 9}
    submission = read_submission("chat.completion", body)
    (offer, *_) = offers(submission, catalogue(), test=False)
    message = {"content": said}
    content = json.dumps({"choices": [{"message": message}], "usage": usage}).encode("utf-8", "surrogatepass")
    used = openai.read(ProviderCall("job_1", "chat.completion", submission.request, offer), 200, content).usage
    assert 0 < used.prompt_tokens <= reported.MOST_TOKENS and 0 <= used.completion_tokens <= reported.MOST_TOKENS
    assert (used.cached_tokens or 0) + (used.cache_creation_tokens or 0) <= used.prompt_tokens
    assert 0 <= (used.reasoning_tokens or 0) <= used.completion_tokens
    price = UnitPrices(offer.version, offer.input, offer.output)
    full = Amount(used.prompt_tokens, used.completion_tokens)
    charged, excess = charge(full, price, bound=offer.bound_micros)
    assert 0 <= charged <= offer.bound_micros
    if reported.of({"usage": usage}) is None:
        assert used.estimated and excess == 0
