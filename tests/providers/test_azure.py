"""Azure OpenAI over HTTP: where its key, deployment and version go, its extra chunks, and its filter's refusals.

The transcripts are those of learn.microsoft.com/azure/ai-foundry/openai/concepts/content-streaming and
…/concepts/content-filter, shortened.
"""

import asyncio
from typing import Any

import orjson
import pytest

from shared.errors import ProviderError
from shared.submissions.catalogue import Provider, catalogue, endpoint
from shared.submissions.offers import Offer
from shared.submissions.schemas import read_submission
from tests.providers.heard import Heard
from tests.providers.scripted import serving
from tests.providers.test_call_limits import PATIENT
from workers.providers import ProviderAnswer, ProviderCall, openai
from workers.upstream.faults import classify
from workers.upstream.transport import ProviderClient

KEY = "azure-canary-0123456789"
OFFER = Offer(
    provider="azure", model="own", upstream="my-gpt", input=1, output=1, version="v", bound_micros=1, max_output=64
)
SAFE = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": False, "severity": "safe"}}
#: Chunks that say nothing of the answer, with an empty id and model, and without a delta.
PROMPT = {"id": "", "object": "", "created": 0, "model": "", "usage": None, "choices": [],
          "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}]}  # fmt: skip
OLD_PROMPT = {**PROMPT, "prompt_annotations": PROMPT["prompt_filter_results"]}


def annotation(reason: str | None = None, results: Any = None) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": reason, "content_filter_results": results or SAFE, "content_filter_raw": [],
              "content_filter_offsets": {"check_offset": 44, "start_offset": 44, "end_offset": 198}}  # fmt: skip
    return {"id": "", "object": "", "created": 0, "model": "", "choices": [choice], "usage": None}


def chunk(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-7rC", "object": "chat.completion.chunk", "created": 1692913344, "model": "gpt-4o"}
    return {**head, "choices": [{"index": 0, "finish_reason": reason, "delta": delta}], "usage": None}


COUNTS = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
USAGE = {
    **PROMPT,
    "prompt_filter_results": [],
    "usage": COUNTS,
}
PASSES = [OLD_PROMPT, chunk(role="assistant"), chunk(content="Color"), chunk(content=" is"), annotation(),
          chunk(content=" light"), chunk("stop"), annotation(), USAGE]  # fmt: skip
BLOCKED = [PROMPT, chunk(role="assistant"), chunk(content="Hey"), chunk(content=" Jude"), annotation(),
           annotation("content_filter", {"protected_material_text": {"detected": True, "filtered": True}})]  # fmt: skip
FILTERED = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "type": None, "param": "prompt", "code": "content_filter", "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation",
                   "content_filter_result": {"hate": {"filtered": True, "severity": "high"}}},
}  # fmt: skip
WHOLE = {
    "id": "chatcmpl-7rC", "object": "chat.completion", "created": 1692913344, "model": "gpt-4o",
    "prompt_filter_results": PROMPT["prompt_filter_results"], "system_fingerprint": "fp_1",
    "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "content_filter_results": SAFE,
                 "message": {"role": "assistant", "content": "Color is light", "refusal": None, "annotations": []}}],
    "usage": COUNTS,
}  # fmt: skip


def head(status: int, type: str, length: int | None = None) -> bytes:
    framed = "transfer-encoding: identity\r\nconnection: close" if length is None else f"content-length: {length}"
    return f"HTTP/1.1 {status} X\r\ncontent-type: {type}\r\napim-request-id: 1\r\n{framed}\r\n\r\n".encode()


def whole(body: Any, status: int = 200) -> bytes:
    data = orjson.dumps(body)
    return head(status, "application/json", len(data)) + data


def events(chunks: list[dict[str, Any]]) -> bytes:
    data = b"".join(b"data: " + orjson.dumps(one) + b"\n\n" for one in chunks) + b"data: [DONE]\n\n"
    return head(200, "text/event-stream", len(data)) + data


def asked(
    answer: bytes, monkeypatch: pytest.MonkeyPatch, *, sink: Heard | None = None, path: str = "", row: Any = None
) -> tuple[ProviderAnswer | ProviderError, str]:
    """What comes of a call of the shipped row, whose endpoint the environment says; and the head that was sent."""

    async def scene() -> tuple[ProviderAnswer | ProviderError, str]:
        async with serving([answer]) as upstream, ProviderClient(2) as client:
            monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", upstream.url.removesuffix("/v1") + path)
            monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
            provider: Provider = row or catalogue().providers["azure"]
            where = endpoint(provider)
            assert where is not None
            body = {"model": "gpt-4", "messages": [{"role": "user", "content": "What is color?"}]}
            request = orjson.loads(read_submission("chat.completion", body).json)
            call = ProviderCall("job_1", "chat.completion", request, OFFER, sink, PATIENT)
            try:
                made: ProviderAnswer | ProviderError = await openai.connect(provider, where, client).call(call)
            except ProviderError as error:
                made = error
            return made, upstream.heads[0]

    return asyncio.run(scene())


def good(made: ProviderAnswer | ProviderError) -> dict[str, Any]:
    assert isinstance(made, ProviderAnswer), repr(made)
    (choice,) = made.body["choices"]
    return dict(choice)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", "POST /openai/v1/chat/completions HTTP/1.1"),
        ("/", "POST /openai/v1/chat/completions HTTP/1.1"),
        ("/openai/v1/", "POST /openai/v1/chat/completions HTTP/1.1"),
        ("?api-version=preview", "POST /openai/v1/chat/completions?api-version=preview HTTP/1.1"),
        (
            "/openai/deployments/{model}?api-version=2024-10-21",
            "POST /openai/deployments/my-gpt/chat/completions?api-version=2024-10-21 HTTP/1.1",
        ),
    ],
)
def test_the_key_the_deployment_and_the_version_stand_where_azure_wants_them(
    monkeypatch: pytest.MonkeyPatch, path: str, line: str
) -> None:
    made, sent = asked(whole(WHOLE), monkeypatch, path=path)
    lines = sent.lower().split("\r\n")
    assert good(made)["message"]["content"] == "Color is light"
    assert sent.split("\r\n")[0] == line and f"api-key: {KEY}" in lines
    assert not any(one.startswith("authorization") for one in lines)


def test_a_stream_with_annotations_is_the_answer_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Heard()
    made, _ = asked(events(PASSES), monkeypatch, sink=sink)
    choice = good(made)
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Color is light", "stop")
    assert "".join(sink.all_of("content")) == "Color is light"
    assert isinstance(made, ProviderAnswer) and not made.usage.estimated
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (9, 3)


def test_a_stream_that_its_filter_ends_is_what_was_said_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Heard()
    made, _ = asked(events(BLOCKED), monkeypatch, sink=sink)
    choice = good(made)
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hey Jude", "content_filter")
    assert sink.sent.choices()[0]["finish_reason"] == "content_filter"


def test_a_stream_of_prompt_annotations_alone_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = asked(events([PROMPT]), monkeypatch, sink=Heard())
    assert isinstance(made, ProviderError) and (classify(made), made.code) == ("broken", "empty")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_prompt_that_its_filter_refuses_is_the_caller_s_and_never_routed_around(
    monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    made, _ = asked(whole({"error": FILTERED}, 400), monkeypatch, sink=Heard() if streamed else None)
    assert isinstance(made, ProviderError) and classify(made) == "content_filter"
    assert (made.code, made.param) == ("content_filter", "prompt") and "content management policy" in made.message


def test_a_filter_s_error_in_the_midst_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = asked(events([PROMPT, chunk(content="Hey"), {"error": FILTERED}]), monkeypatch, sink=Heard())
    assert isinstance(made, ProviderError) and classify(made) == "content_filter" and made.head


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, {"code": "401", "message": f"Access denied due to invalid subscription key {KEY}."}, "key"),
        (404, {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}, "missing"),
        (404, {"code": "404", "message": "Resource not found"}, "missing"),
        (429, {"code": "RateLimitReached", "message": "Your requests have exceeded token rate limit."}, "rate"),
        (400, {"code": "OperationNotSupported", "message": "The operation does not work with the model."}, "missing"),
    ],
)
def test_its_other_refusals(monkeypatch: pytest.MonkeyPatch, status: int, error: dict[str, str], kind: str) -> None:
    made, _ = asked(whole({"error": error}, status), monkeypatch)
    assert isinstance(made, ProviderError) and classify(made) == kind
    assert KEY not in repr([made.message, made.args, made.code, made.param])


def test_a_key_in_the_query_of_an_address_is_repeated_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Provider(name="own", protocol="openai", url="AZURE_OPENAI_ENDPOINT")
    refused = {"error": {"code": "invalid_value", "message": f"POST /chat/completions?subscription-key={KEY}: no."}}
    made, sent = asked(whole(refused, 400), monkeypatch, path=f"?subscription-key={KEY}", row=row)
    assert f"?subscription-key={KEY} " in sent
    assert isinstance(made, ProviderError) and KEY not in repr([made.message, made.args]) and "[key]" in made.message
