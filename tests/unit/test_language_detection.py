"""In which language a conversation is: found offline, or not said."""

import asyncio
from typing import Any

import pytest

from producer.web import language_detection
from producer.web.language_detection import detect

TEXTS = {
    "en": "What is the capital of France?",
    "nl": "Wat is de hoofdstad van Frankrijk?",
    "de": "Was ist die Hauptstadt von Frankreich?",
    "fr": "Quelle est la capitale de la France ?",
    "es": "¿Cuál es la capital de Francia?",
    "sv": "Vad är huvudstaden i Frankrike?",
    "ja": "フランスの首都はどこですか",
    "ru": "Какой город является столицей Франции?",
}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize("code", TEXTS)
def test_a_sentence_is_enough(code: str) -> None:
    assert detect([user(TEXTS[code])]) == code


@pytest.mark.parametrize("text", ["", "hi", "ok", "2+2?", "```python\nprint(1)\n```", "x" * 100, "\ud800", "a\x00b"])
def test_what_says_too_little_is_not_guessed(text: str) -> None:
    assert detect([user(text)]) == ""


def test_the_users_last_text_counts() -> None:
    turns = [user(TEXTS["nl"]), {"role": "assistant", "content": TEXTS["fr"]}, user([{"type": "image_url"}])]
    assert detect(turns) == "nl"
    assert detect([*turns, user([{"type": "text", "text": TEXTS["de"]}, {"type": "image_url"}])]) == "de"


@pytest.mark.parametrize(
    "messages", [None, 5, "x", {}, [], [None, 5, {"role": "user"}], [user(5)], [user([5, {"text": 5}])]]
)
def test_what_is_malformed_is_left_to_others(messages: Any) -> None:
    assert detect(messages) == ""


def test_a_large_text_is_not_read_whole() -> None:
    assert detect([user(TEXTS["nl"] + " " + TEXTS["fr"] * 100_000)]) in NAMES_OF_BOTH
    asyncio.run(language_detection.load())


NAMES_OF_BOTH = {"nl", "fr", ""}
