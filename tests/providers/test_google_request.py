"""Gemini's own protocol, towards it: what of a canonical request is sent, and in which words."""

from typing import Any

from shared.submissions.schemas import Offer, read_submission
from shared.submissions.sending import Sending
from workers.providers import ProviderCall
from workers.providers.google.request import composed

TAKES = frozenset("extra_content provider_specific_fields thought_signature extra_body top_k thinking".split())


def ask(upstream: str = "gemini-3-flash-preview", type: str = "chat.completion", **body: Any) -> ProviderCall:
    offer = Offer(
        provider="google", model="ours", upstream=upstream, input=1, output=1, version="v", max_output=99,
        bound_micros=1,
    )  # fmt: skip
    if type == "chat.completion":
        body.setdefault("messages", [{"role": "user", "content": "hi"}])
    request = read_submission(type, {"model": "m", **body}).request  # type: ignore[arg-type]
    return ProviderCall("job_1", type, request, offer)


def sent(upstream: str = "gemini-3-flash-preview", **body: Any) -> dict[str, Any]:
    return composed(ask(upstream, **body), Sending(takes=TAKES))


def test_a_text_is_a_turn_of_the_user() -> None:
    assert sent() == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"maxOutputTokens": 99},
    }
