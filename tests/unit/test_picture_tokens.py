"""What is held for pictures covers what providers count for them, by their pages and as measured."""

import doctest
from typing import Any

import pytest

from shared.money.pricing import Amount, price
from shared.submissions import picture_tokens, quote
from shared.submissions.catalogue import catalogue
from shared.submissions.picture_tokens import PictureTokens
from shared.submissions.schemas import Offer, read_submission
from tests.pictures import data_url, png

#: Tokens of one picture as the providers counted it, less those of the text beside it
#: (huggingface.co/datasets/JOHNISKING/image-token-cost): by model, (width, height) → tokens.
MEASURED = {
    "claude-opus-5-5": {(256, 256): 100, (512, 512): 361, (768, 768): 784, (1024, 1024): 1_369, (1280, 720): 1_196,
                        (1920, 1080): 2_691, (1080, 1920): 2_691, (2560, 1440): 2_992, (4032, 3024): 3_928},
    "claude-haiku-4-5": {(1024, 1024): 1_369, (1920, 1080): 1_560, (2560, 1440): 1_592, (4032, 3024): 1_596},
    "gpt-6-astra": {(256, 256): 77, (512, 512): 308, (1024, 1024): 1_229, (1920, 1080): 2_448, (2560, 1440): 4_320,
                    (3840, 2160): 9_792, (4032, 3024): 14_364},
    "gpt-5.5": {(256, 256): 77, (1024, 1024): 1_229, (3840, 2160): 9_792, (4032, 3024): 11_868},
    "gemini-3.8-flash": {(256, 256): 1_090, (4032, 3024): 1_065},
}  # fmt: skip
#: The most of one picture by each provider's page.
DOCUMENTED = {
    "claude-fable-5-2": 4_784,
    "claude-opus-4-8": 4_784,
    "claude-sonnet-4-6": 1_568,
    "gpt-4": 36_000,
    "gpt-6-luna": 36_000,
    "gpt-5.6-terra": 36_000,
    "gpt-5.4": 12_000,
    "gpt-5.4-mini": 2_489,
    "gpt-5.4-nano": 3_779,
    "gpt-5.1": 70 + 8 * 140,
    "gpt-4.1": 85 + 8 * 170,
    "gemini-pro": 2_240,
    "gemini-2.5-flash-lite": 256 + 2_048,
}


def shown(model: str, *urls: str, detail: str = "auto") -> Offer:
    content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url, "detail": detail}} for url in urls]
    body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 1}
    return quote.offers(read_submission("chat.completion", body), catalogue(), test=False)[0]


@pytest.mark.parametrize("model", MEASURED)
def test_a_picture_of_known_size_is_held_for_by_its_size(model: str) -> None:
    for (width, height), tokens in MEASURED[model].items():
        offer = shown(model, data_url(png(width, height)))
        assert offer.bound_micros >= price(Amount(tokens, 1), offer.price), (width, height)
        counted = catalogue().models[model].picture_tokens
        assert counted is not None and tokens <= counted.of_size(width, height) <= counted.most
        if counted.patch and 512 < width <= 1024:
            assert counted.of_size(width, height) <= tokens * 1.35, "and for little more"


@pytest.mark.parametrize("model", DOCUMENTED)
def test_a_picture_at_an_address_is_held_for_by_the_most_that_it_can_come_to(model: str) -> None:
    urls = ["https://a.example/1.png", "https://a.example/2.png"]
    for detail in ("auto", "original"):
        offer = shown(model, *urls, detail=detail)
        at = offer.price
        used = Amount(2 * DOCUMENTED[model], 1, cache_creation_tokens=2 * DOCUMENTED[model])
        assert offer.bound_micros >= price(used, at)


def test_every_shipped_model_that_sees_says_how_pictures_are_counted() -> None:
    seeing = {id: one for id, one in catalogue().models.items() if "vision" in (one.capabilities or ())}
    assert {id for id, one in seeing.items() if one.picture_tokens is None} == {"deepseek-flash"}


@pytest.mark.parametrize(
    "url",
    ["https://a.example/1.png", "data:image/png;base64,", "data:image/png;base64,AAAA", "data:image/jpeg;base64,/9j/"],
)
def test_a_picture_of_unknown_size_may_come_to_the_most(url: str) -> None:
    request = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}
    counted = PictureTokens(most=7_000, patch=32)
    assert picture_tokens.most_tokens(request, counted, 2_600) == 7_000
    assert picture_tokens.most_tokens(request, None, 2_600) == 2_600


def test_the_docstring_s_example_holds() -> None:
    results = doctest.testmod(picture_tokens)
    assert results.attempted and not results.failed
