"""Real usages, as providers report them, at their published prices: each charge is right to the micro-credit.

The expected amounts were worked out by hand: a token at $1 a million is 100 micro-credits (a credit is a cent).

Bodies: OpenAI's API reference (github.com/openai/openai-openapi, openapi.yaml) and guide to prompt caching
(developers.openai.com/api/docs/guides/prompt-caching), Anthropic's guide to prompt caching
(docs.claude.com/en/docs/build-with-claude/prompt-caching), and answers of the real services, recorded for the tests of
github.com/pydantic/pydantic-ai and collected in github.com/pydantic/genai-prices (tests/dataset/usages.json).
Prices, as the data of genai-prices had them in August 2026, which names these pages:
developers.openai.com/api/docs/pricing, anthropic.com/pricing, ai.google.dev/gemini-api/docs/pricing,
api-docs.deepseek.com/quick_start/pricing, mistral.ai/pricing.
"""

from typing import Any

import pytest

from shared.money.pricing import LongContext, UnitPrices, price
from workers.answers import reported


def at(input: int, output: int, **more: Any) -> UnitPrices:
    """A published price, in thousands of micro-credits: $2.50 a million tokens is 250_000."""
    scaled = {name: value * 1000 if isinstance(value, int) else value for name, value in more.items()}
    return UnitPrices("published", input * 1000, output * 1000, **scaled)


GPT_5_4 = at(
    250_000,
    1_500_000,
    cached_input=25_000,
    long_context=LongContext(input=500_000_000, output=2_250_000_000, cached_input=50_000_000, above=272_000),
)
GPT_4O = at(250_000, 1_000_000, cached_input=125_000)
GPT_4O_MINI = at(15_000, 60_000, cached_input=7_500)
GPT_5 = at(125_000, 1_000_000, cached_input=12_500)
O1 = at(1_500_000, 6_000_000, cached_input=750_000)
O3_MINI = at(110_000, 440_000, cached_input=55_000)
SONNET = at(300_000, 1_500_000, cached_input=30_000, cache_write=375_000, cache_write_1h=600_000)
SONNET_5 = at(200_000, 1_000_000, cached_input=20_000, cache_write=250_000, cache_write_1h=400_000)
HAIKU_4_5 = at(100_000, 500_000, cached_input=10_000, cache_write=125_000, cache_write_1h=200_000)
V4_FLASH = at(14_000, 28_000, cached_input=280)
REASONER = at(55_000, 219_000, cached_input=14_000)
MISTRAL_SMALL = at(10_000, 30_000)
MISTRAL_LARGE = at(50_000, 150_000, cached_input=5_000)
MAGISTRAL = at(200_000, 500_000)
PRO_2_5 = at(
    125_000,
    1_000_000,
    cached_input=12_500,
    long_context=LongContext(input=250_000_000, output=1_500_000_000, cached_input=25_000_000, above=200_000),
)
FLASH_2_5 = at(30_000, 250_000, cached_input=3_000)
FLASH_2_0 = at(10_000, 40_000, cached_input=2_500)


def usage(**counts: Any) -> dict[str, Any]:
    return {"usage": counts}


def anthropic(given: int, output: int, read: int = 0, five: int = 0, hour: int = 0, **more: Any) -> dict[str, Any]:
    """Anthropic's own usage: `input_tokens` has neither what was read from the cache in it nor what was written."""
    written = {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}
    return usage(
        input_tokens=given,
        output_tokens=output,
        cache_read_input_tokens=read,
        cache_creation_input_tokens=five + hour,
        cache_creation=written,
        **more,
    )


def gemini(prompt: int, candidates: int, total: int, **more: Any) -> dict[str, Any]:
    counts = {"promptTokenCount": prompt, "candidatesTokenCount": candidates, "totalTokenCount": total}
    return {"usageMetadata": {**counts, **more}}


def details(cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


#: Name: the body, its model's price, and what it costs in micro-credits.
RECORDED: dict[str, tuple[dict[str, Any], UnitPrices, int]] = {
    # 19 × 250 + 10 × 1500
    "openai reference, default": (
        {**usage(prompt_tokens=19, completion_tokens=10, total_tokens=29, **details()), "service_tier": "default"},
        GPT_5_4,
        19_750,
    ),
    # 1117 × 250 + 46 × 1500
    "openai reference, image input": (
        usage(prompt_tokens=1117, completion_tokens=46, total_tokens=1163, **details()),
        GPT_5_4,
        348_250,
    ),
    # 82 × 15 + 17 × 60
    "openai reference, functions": (usage(prompt_tokens=82, completion_tokens=17, total_tokens=99), GPT_4O_MINI, 2_250),
    # 81 × 1500 + 1035 × 6000, of which 832 are of reasoning
    "openai reference, reasoning": (
        usage(
            input_tokens=81,
            input_tokens_details={"cached_tokens": 0, "cache_write_tokens": 0},
            output_tokens=1035,
            output_tokens_details={"reasoning_tokens": 832},
            total_tokens=1116,
        ),
        O1,
        6_331_500,
    ),
    # 86 × 250 + 1920 × 125 + 300 × 1000
    "openai prompt caching": (
        usage(prompt_tokens=2006, completion_tokens=300, total_tokens=2306, **details(cached=1920)),
        GPT_4O,
        561_500,
    ),
    # 11 × 110 + 809 × 440
    "openai o3-mini": (
        usage(prompt_tokens=11, completion_tokens=809, total_tokens=820, **details(reasoning=768)),
        O3_MINI,
        357_170,
    ),
    # 12 × 125 + 1888 × 1000
    "openai gpt-5": (
        usage(prompt_tokens=12, completion_tokens=1888, total_tokens=1900, **details(reasoning=1600)),
        GPT_5,
        1_889_500,
    ),
    # 21 × 300 + 188086 × 375 + 393 × 1500
    "anthropic guide, a book written to the cache": (anthropic(21, 393, five=188_086), SONNET, 71_128_050),
    # 21 × 300 + 188086 × 30 + 393 × 1500
    "anthropic guide, the book read from it": (anthropic(21, 393, read=188_086), SONNET, 6_238_380),
    # 2048 × 300 + 1800 × 30 + 148 × 375 + 100 × 600 + 503 × 1500
    "anthropic guide, two lifetimes": (anthropic(2048, 503, read=1800, five=148, hour=100), SONNET, 1_538_400),
    # 3 × 300 + 1111 × 30 + 418 × 375 + 33 × 1500
    "anthropic sonnet 4.5, read and written": (
        anthropic(3, 33, read=1111, five=418, service_tier="standard"),
        SONNET,
        240_480,
    ),
    # 3 × 100 + 9511 × 10 + 1956 × 125 + 44 × 500
    "anthropic haiku 4.5": (anthropic(3, 44, read=9511, five=1956), HAIKU_4_5, 361_910),
    # 6 × 200 + 20443 × 20 + 574 × 250 + 489 × 1000, of which 77 are of thoughts
    "anthropic sonnet 5, thinking": (
        anthropic(6, 489, read=20_443, five=574, output_tokens_details={"thinking_tokens": 77}),
        SONNET_5,
        1_042_560,
    ),
    # 2743 × 300 + 4 × 1500
    "anthropic sonnet 4.5, no cache": (anthropic(2743, 4, service_tier="standard"), SONNET, 828_900),
    # 51 × 14 + 512 × 0.28 + 116 × 28 = 4105.36
    "deepseek v4 flash, cache hit": (
        usage(
            prompt_tokens=563,
            completion_tokens=116,
            total_tokens=679,
            prompt_cache_hit_tokens=512,
            prompt_cache_miss_tokens=51,
            prompt_tokens_details={"cached_tokens": 512},
            completion_tokens_details={"reasoning_tokens": 60},
        ),
        V4_FLASH,
        4_106,
    ),
    # 12 × 55 + 789 × 219
    "deepseek reasoner": (
        usage(
            prompt_tokens=12,
            completion_tokens=789,
            total_tokens=801,
            prompt_cache_hit_tokens=0,
            prompt_cache_miss_tokens=12,
            completion_tokens_details={"reasoning_tokens": 415},
        ),
        REASONER,
        173_451,
    ),
    # 28 × 10 + 35 × 30
    "mistral small": (
        usage(prompt_tokens=28, completion_tokens=35, total_tokens=63, prompt_tokens_details={"cached_tokens": 0}),
        MISTRAL_SMALL,
        1_330,
    ),
    # 1 × 50 + 69 × 5 + 12 × 150
    "mistral large, cached": (
        usage(prompt_tokens=70, completion_tokens=12, total_tokens=82, num_cached_tokens=69),
        MISTRAL_LARGE,
        2_195,
    ),
    # 664 × 200 + 747 × 500
    "mistral magistral medium": (
        usage(prompt_tokens=664, completion_tokens=747, total_tokens=1411),
        MAGISTRAL,
        506_300,
    ),
    # 115 × 30 + 230 × 3 + 51 × 250
    "gemini 2.5 flash, cached": (gemini(345, 51, 396, cachedContentTokenCount=230), FLASH_2_5, 16_890),
    # 1106 × 125 + (778 + 1089) × 1000
    "gemini 2.5 pro, thoughts": (gemini(1106, 778, 2973, thoughtsTokenCount=1089), PRO_2_5, 2_005_250),
    # (17 + 119) × 125 + (201 + 213) × 1000
    "gemini 2.5 pro, tools": (
        gemini(17, 201, 550, thoughtsTokenCount=213, toolUsePromptTokenCount=119),
        PRO_2_5,
        431_000,
    ),
    # 11 × 10 + 32 × 40
    "gemini 2.0 flash": (gemini(11, 32, 43), FLASH_2_0, 1_390),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_usage_costs_what_its_provider_publishes(name: str) -> None:
    body, published, expected = RECORDED[name]
    found = reported.of(body)
    assert found is not None and price(found.amount, published) == expected


def test_twenty_and_more_are_recorded() -> None:
    assert len(RECORDED) >= 20
