"""Providers, and callers through us, that mean harm: what they send over a real socket does none."""

import asyncio
from typing import Any

import orjson
import pytest

from shared.errors import ProviderError
from tests.providers import test_anthropic_stream as claude
from tests.providers import test_google_stream as gemini
from tests.providers.claude import answer as claude_answer
from tests.providers.claude import call as claude_call
from tests.providers.claude import user
from tests.providers.scripted import STALL, Step, serving
from tests.providers.test_call_limits import COMMENT, HEAD, PATIENT, STREAM, Kept, answer, event
from tests.providers.test_google_request import ask, contents
from tests.scripted_client import Scripted
from workers.upstream.exchange import HIDDEN, LEAST_PIECE, Exchange

KEY = "sk-ant-api03-Zm9yYmlkZGVuLWZydWl0-canary-77"
#: For far longer than a test is waited for.
FOR_EVER = (COMMENT, 0.05) * 400


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.upstream.exchange.LINGER_SECONDS", 2.0)
    monkeypatch.setattr("workers.upstream.exchange.MOST_LINGER_SECONDS", 0.3)


@pytest.mark.usefixtures("impatient")
def test_comments_after_the_end_keep_no_answer_back() -> None:
    sink = Kept()
    got = answer(STREAM % b"", event(content="Hello"), event(finish="stop"), *FOR_EVER, sink=sink, limits=PATIENT)
    assert got.body["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.usefixtures("impatient")
def test_pings_after_the_end_keep_no_answer_of_anthropic_s_back() -> None:
    whole = claude.events(claude.start(), *claude.text(0, "Hello"), claude.end("end_turn")[0])
    pings: list[Step] = [claude.events(claude.PING), 0.05]
    assert claude.streamed(whole, *pings * 400)[0].usage.completion_tokens == 15


@pytest.mark.usefixtures("impatient")
def test_comments_after_the_end_keep_no_answer_of_gemini_s_back() -> None:
    sent = gemini.events(gemini.chunk({"text": "Hello"}, finish="STOP", usage=gemini.USAGE))
    assert gemini.answered(sent, *FOR_EVER, sink=gemini.Parts()).usage.prompt_tokens == 8


def refused(message: str) -> ProviderError:
    """The error of a provider that answers 400 with a message, and knows our key."""
    content = orjson.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": message}})
    head = (HEAD % (b"", len(content))).replace(b"200 OK", b"400 Bad Request")

    async def main() -> ProviderError:
        async with serving([head, content]) as upstream:
            with pytest.raises(ProviderError) as error:
                await asyncio.to_thread(claude_answer, upstream.url, claude_call({"messages": [user("hi")]}), KEY)
            return error.value

    return asyncio.run(main())


@pytest.mark.parametrize("before", [0, 480, 470, 455, 489])
def test_a_key_that_is_repeated_where_a_long_message_is_cut_is_not_shown(before: int) -> None:
    error = refused("x" * before + KEY + " " + KEY[:20] + " and more" * 100)
    assert KEY[:LEAST_PIECE] not in error.message and (HIDDEN in error.message or before == 489)


def test_a_key_is_taken_out_wherever_and_however_often_it_stands() -> None:
    exchange = Exchange(PATIENT)
    exchange.answered(Scripted(400), "https://p", {"x-api-key": KEY})
    made = ProviderError(f"{KEY}{KEY} {KEY[:-1]}!", code=KEY[:LEAST_PIECE], param=f"a.{KEY[:30]}")
    error = exchange.mark(made)
    assert (error.message, error.code, error.param) == (f"{HIDDEN}{HIDDEN} {HIDDEN}!", HIDDEN, f"a.{HIDDEN}")


def shown(url: str) -> Any:
    part = {"type": "image_url", "image_url": {"url": url}}
    return contents({"role": "user", "content": [part]})[0]["parts"][0]


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=9hE5-98ZeCg",
        "https://youtu.be/9hE5-98ZeCg",
        "https://M.YouTube.com./watch?v=1",
        "https://generativelanguage.googleapis.com/v1beta/files/abc-123",
        "https://x.org/a.mp4",
        "https://x.org/a.PDF?x=.png",
        "https://x.org/a.wav",
    ],
)
def test_what_is_no_picture_is_not_sold_to_gemini_at_a_picture_s_price(url: str) -> None:
    with pytest.raises(ProviderError) as error:
        shown(url)
    assert (error.value.upstream_status, error.value.code) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://x.org/a.png", "image/png"),
        ("https://x.org/a", "image/jpeg"),
        ("https://x.org/a.php?x=b.mp4", "image/jpeg"),
        ("https://x.org/a.html", "image/jpeg"),
        ("https://x.org/a.bin", "image/jpeg"),
        ("https://notyoutube.com/a.webp", "image/webp"),
    ],
)
def test_other_addresses_are_those_of_pictures(url: str, kind: str) -> None:
    assert shown(url)["fileData"] == {"mimeType": kind, "fileUri": url}


def test_an_empty_picture_of_gemini_s_is_none() -> None:
    parts = [{"inlineData": {"mimeType": "image/png", "data": ""}}]
    body = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    error = gemini.failed(gemini.whole(body), call=ask(type="image", prompt="a cat"))
    assert error.code == "empty"


@pytest.mark.parametrize("protocol", ["openai", "anthropic", "gemini"])
def test_a_stream_that_does_not_end_is_cut_where_no_answer_so_long_was_asked_for(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It filled a worker's memory up to the most that any answer may have, four times."""
    monkeypatch.setattr("workers.answers.choice.MORE_CHARACTERS", 1000)
    text = "word " * 200_000
    with pytest.raises(ProviderError) as error:
        if protocol == "openai":
            answer(STREAM % b"", event(content=text), event(content=text), STALL, sink=Kept(), limits=PATIENT)
        elif protocol == "anthropic":
            claude.streamed(claude.events(claude.start(), *claude.text(0, text, text)), STALL)
        else:
            gemini.answered(gemini.events(gemini.chunk({"text": text * 20})), STALL, sink=gemini.Parts())
    assert error.value.code == "protocol" and "longer than the limit" in error.value.message
