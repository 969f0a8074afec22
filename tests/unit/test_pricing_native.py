"""Real usages as Anthropic and Google report them, through the readers of their own protocols, at what is sold today.

The expected amounts were worked out by hand, from the providers' pages: a token at $1 a million is 100 micro-credits.

Usages: examples of platform.claude.com/docs/en/build-with-claude/streaming and …/prompt-caching and of
ai.google.dev/gemini-api/docs/caching; answers of the real services, recorded for the tests of
github.com/pydantic/pydantic-ai and collected in github.com/pydantic/genai-prices (tests/dataset/usages.json).
Prices: platform.claude.com/docs/en/about-claude/pricing and …/models/haiku-5-5/overview (of 2026-10);
ai.google.dev/gemini-api/docs/pricing and …/flex-inference; developers.openai.com/api/docs/pricing.
"""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from shared import clock
from shared.money.pricing import UnitPrices, price
from shared.submissions.catalogue import checked
from shared.submissions.catalogue_files import joined
from shared.submissions.schemas import Usage
from tests.providers.claude import call, user
from workers.providers.anthropic.stream import of_events
from workers.providers.anthropic.usage import used
from workers.providers.google import usage as gemini
from workers.upstream.event_stream import ServerSentEvent

WRITTEN = checked(joined(None))
TODAY = "2026-11-29"


def sold(model: str, *, day: str = TODAY, tier: str = "") -> UnitPrices:
    """The price of a model of the catalogue on a day."""
    micros = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * clock.MICROS
    known = WRITTEN.at(micros)
    usual = known.prices[model]
    return known.models[model].service_tiers[tier].price(usual) if tier else usual


def claude(given: int, output: int, read: int = 0, five: int = 0, hour: int = 0, **more: Any) -> Usage | None:
    """The usage of a whole message."""
    return used(
        {
            "input_tokens": given,
            "output_tokens": output,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": five + hour,
            "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour},
            "service_tier": "standard",
            **more,
        }
    )


def streamed(start: dict[str, int], delta: dict[str, Any]) -> Usage:
    """The usage of a stream: what `message_start` says, and the sums in `message_delta`."""
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"usage": start}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": delta},
        {"type": "message_stop"},
    ]
    asked = call({"messages": [user("hi")], "max_tokens": 4000})
    return of_events(asked, [ServerSentEvent(orjson.dumps(one)) for one in told])[1]


def google(prompt: int, candidates: int, total: int, *, tier: str = "", **more: Any) -> Usage | None:
    counts = {"promptTokenCount": prompt, "candidatesTokenCount": candidates, "totalTokenCount": total, **more}
    return gemini.of({"usageMetadata": counts}, {gemini.TIER_HEADER: tier} if tier else {})


CACHED = {"total": 696_433, "cachedContentTokenCount": 696_190}

#: Name: what is read of the provider's answer, the price, and what it costs in micro-credits.
RECORDED: dict[str, tuple[Usage | None, UnitPrices, int]] = {
    # 13 × 500 + 44 × 2500, of which 33 are of thoughts
    "opus 5, thinking": (
        claude(13, 44, output_tokens_details={"thinking_tokens": 33}), sold("claude-opus-5"), 116_500),
    # 31 × 500 + 30 × 2500
    "opus 4.6": (claude(31, 30), sold("claude-opus-4-6"), 90_500),
    # 26447 × 300 + 528 × 1500: what its tools fetched is in the input
    "sonnet 4.6, a page fetched": (
        claude(26_447, 528, server_tool_use={"web_fetch_requests": 1}), sold("claude-sonnet-4-6"), 8_726_100),
    # 3 × 100 + 9511 × 10 + 1944 × 500
    "haiku 4.5, read from the cache": (claude(3, 1944, read=9511), sold("claude-haiku-4-5"), 1_067_410),
    # 3 × 100 + 9511 × 10 + 1956 × 125 + 44 × 500
    "haiku 4.5, read and written": (claude(3, 44, read=9511, five=1956), sold("claude-haiku-4-5"), 361_910),
    # 6 × 200 + 20443 × 20 + 574 × 250 + 489 × 1000
    "sonnet 5, thinking": (
        claude(6, 489, read=20_443, five=574, output_tokens_details={"thinking_tokens": 77}),
        sold("claude-sonnet-5"), 1_042_560),
    # 21 × 300 + 188086 × 375 + 393 × 1500
    "sonnet 4.6, the guide's book written": (claude(21, 393, five=188_086), sold("claude-sonnet-4-6"), 71_128_050),
    # 2048 × 300 + 1800 × 30 + 148 × 375 + 100 × 600 + 503 × 1500
    "sonnet 4.6, the guide's two lifetimes": (
        claude(2048, 503, read=1800, five=148, hour=100), sold("claude-sonnet-4-6"), 1_538_400),
    # 2048 × 200 + 1800 × 10 + 148 × 250 + 100 × 400 + 503 × 1000: a read is a twentieth
    "sonnet 5.5, the guide's two lifetimes": (
        claude(2048, 503, read=1800, five=148, hour=100), sold("claude-sonnet-5-5"), 1_007_600),
    # 24 × 10 + 4401 × 12.5 + 2501 × 50 = 180302.5
    "haiku 5.5, short": (claude(24, 2501, five=4401), sold("claude-haiku-5-5"), 180_303),
    # 21 × 50 + 188086 × 62.5 + 393 × 250: more than 100,000 tokens, those written among them
    "haiku 5.5, the guide's book written": (claude(21, 393, five=188_086), sold("claude-haiku-5-5"), 11_854_675),
    # 21 × 50 + 188086 × 5 + 393 × 250: those read as well
    "haiku 5.5, the guide's book read": (claude(21, 393, read=188_086), sold("claude-haiku-5-5"), 1_039_730),
    # 25 × 500 + 15 × 2500
    "stream, basic": (
        streamed({"input_tokens": 25, "output_tokens": 1}, {"output_tokens": 15}), sold("claude-opus-4-8"), 50_000),
    # 472 × 300 + 89 × 1500
    "stream, a tool": (
        streamed({"input_tokens": 472, "output_tokens": 2}, {"output_tokens": 89}), sold("claude-sonnet-4-6"), 275_100),
    # 10682 × 500 + 510 × 2500: the input grew on the way
    "stream, a search": (
        streamed(
            {"input_tokens": 2679, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 3},
            {"input_tokens": 10_682, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
             "output_tokens": 510, "server_tool_use": {"web_search_requests": 1}}),
        sold("claude-opus-4-8"), 6_616_000),
    # 15 × 150 + (1 + 72) × 900
    "gemini 3.5 flash, thoughts": (
        google(15, 1, 88, thoughtsTokenCount=72, serviceTier="standard"), sold("gemini-3.5-flash"), 67_950),
    # 15 × 25 + 7 × 150
    "gemini 3.1 flash lite": (google(15, 7, 22, serviceTier="standard"), sold("gemini-3.1-flash-lite"), 1_425),
    # 29 × 400 + 696190 × 40 + 214 × 1800: more than 200,000 tokens, those cached among them
    "gemini 3.1 pro, the guide's transcript cached": (
        google(696_219, 214, **CACHED), sold("gemini-3.1-pro-preview"), 28_244_400),
    # 29 × 75 + 696190 × 7.5 + 214 × 375
    "gemini 3.8 flash, the same until the end of the year": (
        google(696_219, 214, **CACHED), sold("gemini-pro", day="2026-12-31"), 5_303_850),
    # 29 × 150 + 696190 × 15 + 214 × 750
    "gemini 3.8 flash, the same in the new year": (
        google(696_219, 214, **CACHED), sold("gemini-pro", day="2027-01-01"), 10_607_700),
    # (17 + 119) × 200 + (201 + 213) × 1000, then at twice the price
    "gemini 4 argon, tools and thoughts in November": (
        google(17, 201, 550, thoughtsTokenCount=213, toolUsePromptTokenCount=119),
        sold("gemini-4-argon", day="2026-11-30"), 441_200),
    "gemini 4 argon, tools and thoughts in December": (
        google(17, 201, 550, thoughtsTokenCount=213, toolUsePromptTokenCount=119),
        sold("gemini-4-argon", day="2026-12-01"), 882_400),
    # 8 × 37.5 + (53 + 725) × 187.5 = 146175
    "gemini 3.8 flash, flex": (
        google(8, 53, 786, tier="flex", thoughtsTokenCount=725), sold("gemini-3.8-flash", tier="flex"), 146_175),
    # 19 × 10 + (6 + 27) × 40
    "gemini 2.5 flash lite, by another door": (
        google(19, 6, 52, thoughtsTokenCount=27, trafficType="ON_DEMAND"), sold("gemini-2.5-flash-lite"), 1_510),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_a_usage_costs_what_its_provider_publishes(name: str) -> None:
    found, at, expected = RECORDED[name]
    assert found is not None and not found.estimated and price(found.amount, at) == expected


def test_twenty_and_more_are_recorded() -> None:
    assert len(RECORDED) >= 20


def test_flex_is_known_by_the_header_of_the_answer() -> None:
    found, _, _ = RECORDED["gemini 3.8 flash, flex"]
    assert found is not None and found.service_tier == "flex"


#: What a read of the cache costs of the input, in thousandths, where it is not a tenth.
READS = {"claude-fable-5-1": 25, "claude-fable-5-2": 25, "claude-opus-5-5": 50, "claude-sonnet-5-5": 50,
         "gpt-6.1-sol": 50, "gpt-6.1-terra": 50, "gpt-4.1": 250, "gpt-4.1-mini": 250, "gemini-4-argon": 50,
         "deepseek-v4-pro": 33, "deepseek-flash": 20}  # fmt: skip


@pytest.mark.parametrize("id", [id for id, one in WRITTEN.models.items() if one.type == "chat.completion"])
def test_the_prices_of_caches_and_long_requests_are_the_published_multiples(id: str) -> None:
    model = WRITTEN.models[id]
    if model.provider == "deepinfra":
        assert (model.cached_input, model.long_context) == (None, None)
        return
    assert model.cached_input is not None
    assert round(model.cached_input / model.input * 1000) == READS.get(model.upstream, 100)
    if model.provider == "anthropic":
        assert (model.cache_write, model.cache_write_1h) == (model.input * 5 // 4, model.input * 2)
    elif model.upstream.startswith(("gpt-5.6", "gpt-6")):
        assert model.cache_write == model.input * 5 // 4
    else:
        assert model.cache_write is None, "written at the price of other input"
    long = model.long_context
    found = long and (long.above, long.input / model.input, long.output / model.output)
    assert found == LONG.get(model.upstream, (272_000, 2, 1.5) if model.upstream in LONG_OPENAI else None)
    assert model.reasoning is None, "thoughts cost what the rest of the answer does"


#: Requests that cost more as a whole: above so many tokens, so many times the input, so many times the output.
LONG = {"claude-haiku-5-5": (100_000, 5, 5), "gemini-3.1-pro-preview": (200_000, 2, 1.5)}
LONG_OPENAI = {"gpt-6-astra", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-sol", "gpt-6-luna", "gpt-5.6-sol", "gpt-5.6-terra",
               "gpt-5.6-luna", "gpt-5.5", "gpt-5.4"}  # fmt: skip
