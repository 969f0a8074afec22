"""Calls of the API in this process, as a visitor: the app's own routes, without a socket and without the key.

What makes the caller known are keys of the ASGI scope (`HOLDER` of `producer.web.request`, `OPERATOR` of
`producer.web.operator`), which no HTTP request has; so limits, validation, errors and the rest are the API's.
"""

import asyncio
import json
import shlex
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from producer.console.formats import MOST_SHOWN_BYTES
from producer.web.operator import OPERATOR
from producer.web.request import HOLDER
from shared.key_holders import KeyHolder


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the API: what is sent, and what `curl` would be given to send the same."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    #: A JSON object; None: there is no body.
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The path with the query."""
        return self.path + (f"?{urlencode(self.query)}" if self.query else "")

    def as_curl(self, base_url: str) -> str:
        """The same as a command; the key, or the operator's password, is in a variable of the shell."""
        method = [] if self.method == "GET" else ["-X", self.method]
        lines = [shlex.join(["curl", *method, base_url + self.target])]
        secret = "OPERATOR_PASSWORD" if self.path.startswith("/v1/operator/") else "API_KEY"
        lines.append(f'-H "Authorization: Bearer $FUSIONAI_{secret}"')
        lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers.items()]
        if self.body is not None:
            lines.append("-H 'Content-Type: application/json'")
            lines.append(f"-d {shlex.quote(self._shown_body())}")
        return " \\\n  ".join(lines)

    def _shown_body(self) -> str:
        """The body as `-d` takes it; one that is too long to be shown as the name of a file."""
        if len(json.dumps(self.body)) > MOST_SHOWN_BYTES:
            return "@request.json"
        return json.dumps(self.body, indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What the API answered; `headers` in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def data(self) -> Any:
        """Its JSON."""
        return orjson.loads(self.content)


class ApiError(Exception):
    """The API refused a call: its status and its words, and which field they are about."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(error.get("message", ""))
        self.status = status
        self.error = error
        self.message: str = error.get("message", "")
        self.type: str = error.get("type", "")
        self.param: str | None = error.get("param")


class Api:
    """The API, to one visitor, while a request of theirs is answered; `operator`: the name of one."""

    def __init__(self, request: Request, holder: KeyHolder | None, operator: str | None = None) -> None:
        self._request = request
        known = {HOLDER: holder, OPERATOR: operator}
        self._known = {name: value for name, value in known.items() if value is not None}

    async def get(self, path: str, **query: object) -> Any:
        """The JSON that a GET answers; parameters that are None or empty are left out. ApiError: it was refused."""
        given = {name: str(value) for name, value in query.items() if value not in (None, "")}
        return (await self.send(Call("GET", path, given))).data

    async def send(self, call: Call, content: bytes | AsyncIterator[bytes] = b"") -> ApiAnswer:
        """The answer to any call. `content`: the body of one that is not JSON, whose type is among its headers."""
        if call.body is not None:
            content = _dumped(call.body)
        answer = await self._answer(call, content)
        if answer.status >= 400:
            raise ApiError(answer.status, _error_of(answer))
        return answer

    async def relay(self, call: Call, receive: Receive, send: Send) -> None:
        """Have the API answer a browser itself: for what is large, which goes through piece by piece."""
        await self._request.app(self._scope(call), receive, send)

    async def _answer(self, call: Call, content: bytes | AsyncIterator[bytes]) -> ApiAnswer:
        status, headers, parts = 500, {}, bytearray()

        async def send(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
            elif message["type"] == "http.response.body":
                parts.extend(message.get("body", b""))

        length = {"content-length": str(len(content))} if isinstance(content, bytes) else {}
        await self._request.app(self._scope(call, length), _sender(content), send)
        return ApiAnswer(status, headers, bytes(parts))

    def _scope(self, call: Call, more: Mapping[str, str] = {}) -> Scope:
        """A scope of its own: nothing of the browser's request but where it came from.

        Nor its host, by which the API would be that of another dialect.
        """
        outer = self._request.scope
        headers = {**more}
        headers |= {name.lower(): value for name, value in call.headers.items()}
        if call.body is not None:
            headers["content-type"] = "application/json"
            headers["content-length"] = str(len(orjson.dumps(call.body)))  # by which a route knows that there is one
        return {
            "type": "http",
            "asgi": outer["asgi"],
            "http_version": "1.1",
            "method": call.method,
            "scheme": outer["scheme"],
            "path": call.path,
            "raw_path": call.path.encode(),
            "root_path": "",
            "query_string": urlencode(call.query).encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": outer.get("client"),
            "server": outer.get("server"),
            **self._known,
        }


def _dumped(body: Mapping[str, Any]) -> bytes:
    """A body as JSON; ApiError: it has what JSON has not, such as half a character."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise ApiError(400, {"message": f"this cannot be sent: {error}", "type": "invalid_request"}) from None


def _sender(content: bytes | AsyncIterator[bytes]) -> Receive:
    """A request's body, as ASGI has it; a caller that is never gone."""
    pieces = _pieces(content)
    over = False

    async def receive() -> Message:
        nonlocal over
        if over:
            await asyncio.Event().wait()
        piece = await anext(pieces, None)
        over = piece is None
        return {"type": "http.request", "body": piece or b"", "more_body": not over}

    return receive


async def _pieces(content: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        if content:
            yield content
        return
    async for piece in content:
        yield piece


def _error_of(answer: ApiAnswer) -> Mapping[str, Any]:
    try:
        error = answer.data["error"]
        return error if isinstance(error, dict) else {"message": str(error)}
    except (ValueError, KeyError, TypeError):
        return {"message": f"the API answered {answer.status}", "type": "internal_error"}
