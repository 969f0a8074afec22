"""The examples of FusionAI's own documentation, as written: only host and key are replaced; with and without /v1."""

import json
from typing import Any

import httpx
import pytest

from tests.acceptance.documented import by_curl, check_like
from tests.acceptance.stack import Account

pytestmark = pytest.mark.parametrize("base", ["", "/v1"], ids=["bare", "v1"])

QUICK_START = r"""curl https://<base_url>/chat/completions \
-H "Content-Type: application/json" \
-H "Authorization: Bearer fusionai_live_xxx" \
-d '{
"model": "claude-3-opus",
"messages": [
{ "role": "user", "content": "Summarize this invoice." }
],
"temperature": 0.3
}'"""

CHAT = """POST https://<base_url>/chat/completions
Content-Type: application/json
Authorization: Bearer fusionai_live_xxx
{
"model": "claude-3-opus",
"messages": [
{
"role": "user",
"content": "Explain quantum computing in simple terms"
}
],
"temperature": 0.7,
"max_tokens": 500
}"""

TOOLS = """{
"model": "gpt-4",
"messages": [{ "role": "user", "content": "Find my last invoice." }],
"tools": [{
"type": "function",
"function": {
"name": "get_invoices",
"description": "Fetch invoices for a customer",
"parameters": { "type": "object", "properties": { "customerId": { "type": "string" } } }
}
}]
}"""

STREAM = """POST https://<base_url>/chat/completions
Content-Type: application/json
Authorization: Bearer fusionai_live_xxx
{
"model": "gpt-4",
"stream": true,
"messages": [{ "role": "user", "content": "Draft a product brief." }]
}"""

EMBEDDINGS = """POST https://<base_url>/embeddings
Content-Type: application/json
Authorization: Bearer fusionai_live_xxx
{
"model": "text-embedding-3-large",
"input": ["Search this knowledge base", "Summarize this document"]
}"""

EMBEDDINGS_ANSWER = """{
"object": "list",
"data": [{ "index": 0, "embedding": [0.0123, 0.9981] }],
"usage": { "total_tokens": 42, "credits_used": 0.01 }
}"""

IMAGES = """POST https://<base_url>/images
Content-Type: application/json
Authorization: Bearer fusionai_live_xxx
{
"model": "image-gen-2",
"prompt": "A futuristic skyline at sunset",
"size": "1024x1024"
}"""

IMAGES_ANSWER = """{
"created": 1712345678,
"data": [{ "url": "https://cdn.fusionai.cloud/images/abc.png" }],
"usage": { "credits_used": 10 }
}"""

ROUTING = """{
"model": "claude-3-opus",
"routing": {
"fallbacks": ["gpt-4", "gemini-pro"],
"budget": "balanced"
}
}"""

WEBHOOKS = """POST https://<base_url>/webhooks
{
"url": "https://example.com/webhooks/fusionai",
"events": ["credit.threshold", "invoice.paid"]
}"""

USAGE = "GET https://<base_url>/usage?from=2025-01-01&to=2025-01-31"
USAGE_ANSWER = """{
"period": { "from": "2025-01-01", "to": "2025-01-31" },
"credits_used": 12840,
"top_models": [{ "model": "gpt-4", "credits": 6021 }]
}"""
ERROR = """{
"error": {
"message": "Insufficient credits",
"type": "insufficient_credits",
"code": 402
}
}"""
PAGE = "GET https://<base_url>/usage?limit=100&after=usage_abc123"
IDEMPOTENCY = "Idempotency-Key: 7c9e6679-7425-40de-944b-e07fc1f90ae7"
#: Provider, and what it is best for.
MODELS = {
    "claude-3-opus": ("anthropic", "Long-context reasoning"),
    "claude-3-sonnet": ("anthropic", "Balanced performance"),
    "gpt-4": ("openai", "Coding and tool use"),
    "gpt-3.5-turbo": ("openai", "Low-latency chat"),
    "gemini-pro": ("google", "Multimodal workflows"),
}


def filled(example: str, account: Account, base: str, key: str | None = None) -> str:
    """An example with host and key in their places."""
    example = example.replace("https://<base_url>", account.stack.url + base)
    return example.replace("fusionai_live_xxx", key or account.live_key)


def send(example: str, account: Account, base: str, *more: str, key: str | None = None) -> httpx.Response:
    """Send an example of the form `METHOD URL`, headers, body; `more`: headers of other examples."""
    head, brace, body = filled(example, account, base, key).partition("\n{")
    first, *rest = head.splitlines()
    method, url = first.split(" ")
    headers = dict(line.split(": ", 1) for line in [*rest, *more])
    headers.setdefault("Authorization", f"Bearer {key or account.live_key}")
    return httpx.request(
        method, url, headers=headers, content="{" + body if brace else None, timeout=30, trust_env=False
    )


def post(path: str, body: str) -> str:
    """An example that shows a body alone, as the whole request."""
    return f"POST https://<base_url>{path}\nContent-Type: application/json\n{body}"


def test_quick_start_by_curl(account: Account, base: str) -> None:
    for key in (account.live_key, account.test_key):
        answer = by_curl(filled(QUICK_START, account, base, key)).json
        assert answer["model"] == "claude-3-opus" and answer["choices"][0]["message"]["content"]
        assert answer["usage"].get("test", False) is (key == account.test_key)
        assert (answer["usage"]["credits_used"] == 0) is (key == account.test_key)


def test_authentication(account: Account, base: str) -> None:
    wrong = send(CHAT, account, base, key="fusionai_live_xxx")
    assert wrong.status_code == 401 and wrong.json()["error"]["type"] == "unauthorized"


def test_chat(account: Account, base: str) -> None:
    answer = send(CHAT, account, base).json()
    assert answer["object"] == "chat.completion" and answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["usage"]["completion_tokens"] <= 500 and account.stack.violations() == []


def test_tools(account: Account, base: str) -> None:
    answer = send(post("/chat/completions", TOOLS), account, base)
    assert answer.status_code == 200 and answer.json()["choices"][0]["finish_reason"] in ("stop", "tool_calls")
    called = json.loads(TOOLS) | {"tool_choice": "required"}
    choice = send(post("/chat/completions", json.dumps(called)), account, base).json()["choices"][0]
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "get_invoices"


def test_streaming(account: Account, base: str) -> None:
    answer = send(STREAM, account, base)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    chunks: list[dict[str, Any]] = [json.loads(one) for one in data[:-1]]
    said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert said.endswith("to: Draft a product brief.") and {chunk["object"] for chunk in chunks} == {
        "chat.completion.chunk"
    }


def test_embeddings(account: Account, base: str) -> None:
    answer = send(EMBEDDINGS, account, base).json()
    check_like(answer, json.loads(EMBEDDINGS_ANSWER))
    assert answer["object"] == "list" and [row["index"] for row in answer["data"]] == [0, 1]
    assert answer["usage"]["total_tokens"] > 0 and answer["usage"]["credits_used"] > 0


def test_images(account: Account, base: str) -> None:
    answer = send(IMAGES, account, base).json()
    check_like(answer, json.loads(IMAGES_ANSWER))
    assert answer["created"] > 1_700_000_000 and answer["usage"]["credits_used"] == 10
    assert httpx.get(answer["data"][0]["url"]).content.startswith(b"\x89PNG")
    also = send(IMAGES.replace("/images", "/images/generations"), account, base)
    assert also.status_code == 200


def test_routing_is_accepted(account: Account, base: str) -> None:
    """The example shows the routing alone; a chat has messages besides."""
    body = json.loads(ROUTING) | {"messages": [{"role": "user", "content": "hello"}]}
    answer = send(post("/chat/completions", json.dumps(body)), account, base)
    assert answer.status_code == 200 and answer.json()["model"] in ("claude-3-opus", "gpt-4", "gemini-pro")


def test_idempotency(account: Account, base: str) -> None:
    answers = [send(CHAT, account, base, IDEMPOTENCY) for _ in range(3)]
    assert len({answer.text for answer in answers}) == 1
    assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true", "true"]
    assert len(account.live.get("/jobs").json()["data"]) == 1 and account.stack.violations() == []


def test_pagination(account: Account, base: str) -> None:
    for _ in range(3):
        assert send(EMBEDDINGS, account, base).status_code == 200
    cursor = ""
    seen: list[str] = []
    while True:
        page = send(f"GET https://<base_url>/usage?limit=1{cursor}", account, base).json()
        seen += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&after={seen[-1]}"
    assert len(seen) == len(set(seen)) == 3 and all(id.startswith("usage_") for id in seen)
    assert send(PAGE.replace("usage_abc123", seen[0]), account, base).json()["has_more"] is False
    unknown = send(PAGE, account, base)
    assert unknown.status_code < 500 and unknown.headers["content-type"] == "application/json"


def test_usage(account: Account, base: str) -> None:
    report = send(USAGE, account, base).json()
    assert report["period"] == {"from": "2025-01-01", "to": "2025-01-31", "timezone": "UTC"}
    assert report["credits_used"] == 0 and report["top_models"] == []
    send(CHAT, account, base)
    now = send("GET https://<base_url>/usage", account, base).json()
    check_like(now, json.loads(USAGE_ANSWER))
    assert now["credits_used"] > 0
    assert now["top_models"] == [{"model": "claude-3-opus", "credits": now["credits_used"]}]


def test_webhooks(account: Account, base: str) -> None:
    hook = send(WEBHOOKS, account, base)
    assert hook.status_code == 200 and hook.json()["events"] == ["credit.threshold", "invoice.paid"]
    assert hook.json()["url"] == "https://example.com/webhooks/fusionai" and hook.json()["secret"].startswith("whsec_")


def test_models(account: Account, base: str) -> None:
    offered = {model["id"]: model for model in send("GET https://<base_url>/models", account, base).json()["data"]}
    for id, row in MODELS.items():
        assert (offered[id]["provider"], offered[id]["purpose"]) == row


def test_error_codes(account: Account, base: str) -> None:
    """The documented body: message, type and code."""
    poor = account.stack.account(0)
    refused = [
        (send(CHAT.replace("0.7", "70"), account, base), 400, "invalid_request"),
        (send(CHAT, account, base, key="fusionai_live_nobody"), 401, "unauthorized"),
        (send(CHAT, poor, base), 402, "insufficient_credits"),
    ]
    for answer, status, type in refused:
        check_like(answer.json(), json.loads(ERROR))
        error = answer.json()["error"]
        assert answer.status_code == error["code"] == status and error["type"] == type and error["message"]
    poor.close()
