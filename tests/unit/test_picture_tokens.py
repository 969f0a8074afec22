"""The hold covers what a picture costs, as providers measure it: by its size, or at most so many tokens."""

import doctest
from typing import Any

import pytest

from shared.submissions import picture_tokens, quote
from shared.submissions.catalogue import catalogue
from shared.submissions.schemas import read_submission
from tests.pictures import data_url, jpeg, png, segment

PHOTO = data_url(png(4032, 3024))


def held_for(model: str, url: str, **image: Any) -> int:
    """Tokens that the picture adds to what is held for a chat, at the dearest price of input."""
    holds = []
    for part in ({"type": "text", "text": ""}, {"type": "image_url", "image_url": {"url": url, **image}}):
        message = {"role": "user", "content": [part]}
        submission = read_submission("chat.completion", {"model": model, "messages": [message], "max_tokens": 1})
        (offer,) = quote.offers(submission, catalogue(), test=False)
        assert offer.long_context is None
        holds.append(offer.bound_micros * 1_000_000 // offer.price.dearest_input)
    return holds[1] - holds[0]


# Measured, each as the provider counts it: huggingface.co/datasets/JOHNISKING/image-token-cost.
@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-6-astra", 14_364), ("gpt-5.6-luna", 14_364), ("gpt-4", 14_364), ("gpt-5.5", 11_868),
        ("claude-sonnet-5-5", 4_005), ("claude-3-opus", 4_005), ("claude-haiku-4-5", 1_661), ("gemini-pro", 1_065),
    ],
)  # fmt: skip
def test_a_photo_of_twelve_megapixels_is_held_for(model: str, tokens: int) -> None:
    assert tokens <= held_for(model, PHOTO) <= 2 * max(tokens, 2_600)


@pytest.mark.parametrize(("detail", "tokens"), [("auto", 36_000), ("original", 36_000), ("high", 3_000), ("low", 400)])
def test_the_picture_of_an_address_may_be_the_largest_that_is_taken(detail: str, tokens: int) -> None:
    held = held_for("gpt-6-luna", "https://example.com/a.png", detail=detail)
    assert tokens <= held < tokens + 100, "30,000 patches at 1.2 tokens, more are refused; 2,500 in high detail"


@pytest.mark.parametrize(("detail", "tokens"), [("high", 2_942), ("low", 308)])
def test_a_large_picture_in_less_detail_costs_no_more_than_that(detail: str, tokens: int) -> None:
    assert tokens <= held_for("gpt-6-astra", PHOTO, detail=detail) < tokens * 1.6


def test_a_detail_that_the_provider_does_not_mind_changes_nothing() -> None:
    for detail in ("low", "high"):
        held = held_for("claude-opus-5-5", "https://example.com/a.png", detail=detail)
        assert 5_000 <= held < 5_100


# By each provider's page: the catalogue's sources, and ai.google.dev/gemini-api/docs/media-resolution.
@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-fable-5-2", 4_784), ("claude-opus-4-8", 4_784), ("claude-haiku-5-5", 4_784),
        ("claude-sonnet-4-6", 1_568),
        ("gpt-4", 36_000), ("gpt-6.1-terra", 36_000), ("gpt-5.6-terra", 36_000), ("gpt-5.5", 12_000),
        ("gpt-5.4", 12_000),
        ("gpt-5.4-mini", 2_489), ("gpt-5.4-nano", 3_779), ("gpt-5.2", 1_844), ("gpt-5.1", 70 + 8 * 140),
        ("gpt-4.1", 85 + 8 * 170), ("gpt-4.1-mini", 2_489), ("gemini-pro", 2_240),
        ("gemini-2.5-flash-lite", 256 + 2_048),
        ("mistral-small-2603", 55 * 56),
    ],
)  # fmt: skip
def test_the_most_that_a_provider_s_page_names_is_held_for(model: str, tokens: int) -> None:
    for detail in ("auto", "original"):
        assert held_for(model, "https://example.com/a.png", detail=detail) >= tokens


def test_a_small_picture_is_held_for_as_before() -> None:
    usual = catalogue().overheads.image
    assert usual <= held_for("gpt-6-luna", data_url(png(64, 64))) < usual + 100


def test_the_size_is_found_behind_a_long_head() -> None:
    plain = png(3000, 2000)
    late = jpeg(3000, 2000, before=segment(0xE1, bytes(65_000)) * 2)
    same = [
        picture_tokens.bound(_shown(data_url(one, kind)), usual=1, most=99_999, details={})
        for one, kind in ((plain, "image/png"), (late, "image/jpeg"))
    ]
    assert same == [picture_tokens.of_size((3000, 2000))] * 2


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(picture_tokens)
    assert results.attempted and not results.failed


def _shown(url: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}
