"""A provider that has several keys in force, as real ones do: chats that carry none of them are refused.

with KeyedProvider("first") as provider:
    provider.keys = {"first", "second"}
"""

import json
from typing import Any

from tests.stub_server import StubHandler, StubServer


class KeyedProvider(StubServer):
    """OpenAI's chat completions on a loopback port; `keys` may be changed at any time, `used` are those that came."""

    def __init__(self, *keys: str) -> None:
        self.keys = set(keys)
        self.used: set[str] = set()
        provider = self

        class Handler(StubHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                key = self.headers.get("authorization", "").removeprefix("Bearer ")
                good = key in provider.keys
                provider.used.add(key)
                body = json.dumps(ANSWER if good else REFUSAL).encode()
                self.send_response(200 if good else 401)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(Handler)
        self.url = f"{self.origin}/v1"


ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "a-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
}
REFUSAL: dict[str, Any] = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
