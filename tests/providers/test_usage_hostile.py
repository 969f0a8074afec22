"""What providers report as used, when they lie or forget: nothing is free, and nothing is charged by a wrong price."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.submissions.catalogue import catalogue
from shared.submissions.charging import priced_offer
from shared.submissions.schemas import Usage
from tests.providers import test_anthropic_stream as claude
from tests.providers import test_google_stream as gemini
from tests.providers.claude import OFFER
from tests.providers.test_call_limits import PATIENT, STREAM, Kept, answer
from workers.answers import estimates

SAID = "word " * 6
#: Tokens of that, as they are counted here.
COUNTED = estimates.tokens([SAID])


def openai(*chunks: Any) -> Usage:
    lines = b"".join(b"data: %s\n\n" % orjson.dumps(one) for one in chunks)
    return answer(STREAM % b"", lines + b"data: [DONE]\n\n", limits=PATIENT, sink=Kept()).usage


def piece(text: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **more}


def anthropic(*told: Any) -> Usage:
    return claude.streamed(claude.events(*told))[0].usage


def google(*chunks: Any) -> Usage:
    return gemini.answered(gemini.events(*chunks), sink=gemini.Parts()).usage


def test_openai_s_usage_of_the_beginning_is_not_that_of_the_answer() -> None:
    first = {"prompt_tokens": 7, "completion_tokens": 1}
    used = openai(piece("a", usage=first), piece(SAID), piece(finish="stop"))
    assert (used.prompt_tokens, used.estimated) == (7, True) and used.completion_tokens >= COUNTED
    used = openai(piece("a", usage=first), piece(SAID), piece(finish="stop", usage={**first, "completion_tokens": 9}))
    assert (used.prompt_tokens, used.completion_tokens, used.estimated) == (7, 9, False)


def test_anthropic_s_usage_of_the_beginning_is_not_that_of_the_answer() -> None:
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    for usage in (
        None,
        {},
        {"output_tokens": None},
        {"output_tokens": -5},
        {"output_tokens": 0},
        {"output_tokens": "?"},
    ):
        used = anthropic(claude.start(), *claude.text(0, SAID), {**delta, "usage": usage})
        assert (used.prompt_tokens, used.estimated) == (25, True) and used.completion_tokens >= COUNTED, usage


def test_a_later_zero_takes_no_count_of_anthropic_s_back() -> None:
    zeros = {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 9}
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": zeros}
    used = anthropic(claude.start(cache_read_input_tokens=75), *claude.text(0, SAID), delta)
    assert (used.prompt_tokens, used.cached_tokens, used.completion_tokens) == (100, 75, 9) and not used.estimated


def test_a_second_beginning_of_anthropic_s_takes_nothing_back() -> None:
    told = [claude.start(), *claude.text(0, "a"), claude.start(input_tokens=0), *claude.text(1, "b")]
    used = anthropic(*told, *claude.end("end_turn", 2))
    assert (used.prompt_tokens, used.completion_tokens) == (25, 2)


def test_gemini_s_usage_of_the_beginning_is_not_that_of_the_answer() -> None:
    first = {"promptTokenCount": 7, "candidatesTokenCount": 1}
    used = google(gemini.chunk({"text": "a"}, usage=first), gemini.chunk({"text": SAID}, finish="STOP"))
    assert (used.prompt_tokens, used.estimated) == (7, True) and used.completion_tokens >= COUNTED
    used = google(gemini.chunk({"text": SAID}, usage=first), gemini.chunk(finish="STOP"))
    assert (used.completion_tokens, used.estimated) == (1, False)


def test_calls_at_an_index_that_comes_three_times_stay_three() -> None:
    def called(name: str) -> list[dict[str, Any]]:
        return claude.block(
            0, {"type": "tool_use", "id": name, "name": "get_weather", "input": {}},
            {"type": "input_json_delta", "partial_json": orjson.dumps({"place": name}).decode()},
        )  # fmt: skip

    told = [claude.start(), *called("a"), *called("b"), *called("c"), *claude.end("tool_use", 9)]
    found, _ = claude.streamed(claude.events(*told), tools=True)
    calls = found.body["choices"][0]["message"]["tool_calls"]
    assert [one["id"] for one in calls] == ["a", "b", "c"]
    assert [orjson.loads(one["function"]["arguments"])["place"] for one in calls] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "tier",
    [
        "standard",
        "Standard",
        "a\0b",
        "x" * 5000,
        "",
        None,
        7,
        ["flex"],
        "\ud800".encode("utf-16", "surrogatepass").hex(),
    ],
)
def test_a_service_tier_of_anthropic_s_is_a_word_or_none(tier: Any) -> None:
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}
    used = anthropic(claude.start(service_tier=tier), *claude.text(0, "a"), delta)
    assert used.service_tier == "" or (len(used.service_tier) <= 32 and used.service_tier.isprintable())


def test_a_cheap_tier_that_was_not_served_is_not_its_price() -> None:
    flex, usual = replace(OFFER, service_tier="flex"), replace(OFFER, service_tier="default", input=2)
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}
    used = anthropic(claude.start(service_tier="standard"), *claude.text(0, "a"), delta)
    assert priced_offer([flex, usual], flex, used.service_tier) is usual


def test_what_is_sent_is_of_the_offer_whatever_became_of_its_row() -> None:
    known = catalogue()
    gpt = known.models["gpt-4"]
    assert known.sending_for(gpt.provider, "gpt-4", gpt.upstream) == known.sending("gpt-4")
    gone = known.sending_for("openai", "not-here", "gpt-9")
    assert gone.rename["max_tokens"] == "max_completion_tokens", "an older process has no row of the model"
    moved = known.sending_for("anthropic", "gpt-4", "claude-9")
    assert moved.takes >= frozenset(known.providers["anthropic"].takes), "the row is another provider's by now"
    assert known.sending_for("nowhere", "gpt-4", "x").takes == frozenset()
