"""One chat in any dialect: the call, whole or streamed, and the text that it answers."""

import json
from typing import Any

import httpx
import orjson

from producer.web.dialect import Dialect
from tests.acceptance.stack import Account

#: Where a dialect's chats are posted, below its prefix, and the names of its fields where they are others.
_PATHS = {"responses": "", "messages": ""}
MODEL = "gpt-4"
_MODELS = {"euqai": "euqai-fusion-v1"}


def body_of(dialect: Dialect, content: str, **more: Any) -> dict[str, Any]:
    """The body of a small chat, with these canonical fields beside."""
    model = _MODELS.get(dialect.name, MODEL)
    if dialect.name == "responses":
        return {"model": model, "input": content, "max_output_tokens": 200, **more}
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 200, **more}


def ask(account: Account, dialect: Dialect, content: str, *, key: str = "", **more: Any) -> httpx.Response:
    """The answer to a chat; `key`: another than the live one."""
    return httpx.post(
        _url(account, dialect), timeout=60, **_sent(account, dialect, key, body_of(dialect, content, **more))
    )


def read_stream(account: Account, dialect: Dialect, content: str, **more: Any) -> str:
    """The text of the same chat, streamed."""
    sent = _sent(account, dialect, "", body_of(dialect, content, stream=True, **more))
    with httpx.stream("POST", _url(account, dialect), timeout=60, **sent) as answer:
        assert answer.status_code == 200, answer.read()
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: {")]
    return "".join(_piece(orjson.loads(line)) for line in lines)


def text_of(answer: dict[str, Any]) -> str:
    """The text of an answer in any dialect."""
    if "choices" in answer:
        return str(answer["choices"][0]["message"]["content"] or "")
    if "output" in answer:
        parts = [part for item in answer["output"] if item["type"] == "message" for part in item["content"]]
        return "".join(part["text"] for part in parts)
    return "".join(block["text"] for block in answer["content"] if block["type"] == "text")


def _piece(event: dict[str, Any]) -> str:
    if "choices" in event:
        return "".join(choice["delta"].get("content") or "" for choice in event["choices"])
    if event["type"] == "response.output_text.delta":
        return str(event["delta"])
    return str(event["delta"].get("text") or "") if event["type"] == "content_block_delta" else ""


def _url(account: Account, dialect: Dialect) -> str:
    return account.stack.url + dialect.prefixes[0] + _PATHS.get(dialect.name, "/chat/completions")


def _sent(account: Account, dialect: Dialect, key: str, body: dict[str, Any]) -> dict[str, Any]:
    scheme = next(iter(dialect.document.security.values()))
    secret = key or account.live_key
    header = {"authorization": f"Bearer {secret}"} if scheme["type"] == "http" else {scheme["name"]: secret}
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01", **header}
    return {"content": json.dumps(body).encode(), "headers": headers}
