"""The simulator as an ASGI application: finds the route, checks the key, meets the script's fault, answers."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson
from pydantic import ValidationError

from workers.simulator import anthropic, google, media, openai
from workers.simulator.errors import error_reply
from workers.simulator.faults import Exchange, Fault, Receive, Send, deliver
from workers.simulator.script import Order, Script
from workers.simulator.wire import PLAIN, Protocol, Refused, Reply, Request, Twist, json_reply

Handler = Callable[[Request, Twist], Reply]

_LIKE_OPENAI = r"/(?P<provider>[^/]+)(?:/v1(?:beta)?)?(?:/openai)?(?:/v1)?"
_GEMINI = r"/(?P<provider>google)/v1(?:beta)?/models/(?P<name>[^:/]+):"

#: The whole surface: method, path, protocol, handler. The first row that matches answers.
TABLE: tuple[tuple[str, str, Protocol, Handler], ...] = (
    ("POST", r"/(?P<provider>anthropic)/v1/messages", "anthropic", anthropic.messages),
    ("POST", r"/(?P<provider>anthropic)/v1/messages/count_tokens", "anthropic", anthropic.count_tokens),
    ("POST", _GEMINI + "generateContent", "google", google.generate),
    ("POST", _GEMINI + "streamGenerateContent", "google", google.stream),
    ("POST", _GEMINI + "countTokens", "google", google.count_tokens),
    ("POST", _GEMINI + "embedContent", "google", google.embed),
    ("POST", _GEMINI + "batchEmbedContents", "google", google.batch_embed),
    ("GET", r"/(?P<provider>google)/v1(?:beta)?/models", "google", media.models),
    ("POST", _LIKE_OPENAI + "/chat/completions", "openai", openai.chat),
    ("POST", _LIKE_OPENAI + "/embeddings", "openai", media.embeddings),
    ("POST", _LIKE_OPENAI + "/images/generations", "openai", media.images),
    ("GET", _LIKE_OPENAI + "/models", "openai", media.models),
    ("GET", _LIKE_OPENAI + "/models/(?P<name>.+)", "openai", media.model),
)
_ROWS = [(method, re.compile(pattern), protocol, handler) for method, pattern, protocol, handler in TABLE]
#: Keys that begin so are refused as wrong.
WRONG_KEY = "invalid"
#: What a body of the wrong shape raises where no check foresaw it; a provider answers 400 to those, never 500.
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers a path, and in whose protocol; without a handler, the status that says why nobody does."""

    provider: str
    protocol: Protocol
    handler: Handler | None = None
    name: str = ""
    status: int = 404


@lru_cache(maxsize=4096)
def find(method: str, path: str) -> Route:
    """Find who answers; an unknown path is refused in its provider's own shape."""
    status = 404
    for wanted, pattern, protocol, handler in _ROWS:
        if found := pattern.fullmatch(path):
            groups = found.groupdict()
            protocol = "google-openai" if protocol == "openai" and groups["provider"] == "google" else protocol
            if wanted == method:
                return Route(groups["provider"], protocol, handler, groups.get("name") or "")
            status = 405
    provider = path.split("/")[1]
    own: dict[str, Protocol] = {"anthropic": "anthropic", "google": "google"}
    return Route(provider, own.get(provider, "openai"), status=status)


def authorise(protocol: Protocol, request: Request) -> None:
    """401 without a key, in the place where each provider wants it."""
    key = _key(protocol, request)
    if not key:
        raise Refused(401, "You didn't provide an API key.", code="invalid_api_key")
    if key.startswith(WRONG_KEY):
        status = 400 if protocol.startswith("google") else 401
        code = "API_KEY_INVALID" if status == 400 else "invalid_api_key"
        raise Refused(status, "API key not valid. Please pass a valid API key.", code=code)
    if protocol == "anthropic" and b"anthropic-version" not in request.headers:
        raise Refused(400, "anthropic-version: header is required")


def _key(protocol: Protocol, request: Request) -> str:
    headers = request.headers
    if protocol == "google":
        return headers.get(b"x-goog-api-key", b"").decode("latin-1") or request.query.get("key", "")
    if request.provider == "anthropic" and b"x-api-key" in headers:
        return headers[b"x-api-key"].decode("latin-1")
    kind, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


class Simulator:
    """One server's state: its default latency and its script."""

    def __init__(self, latency_seconds: float = 0.0, fail_first: float = 0.0) -> None:
        self.latency_seconds = latency_seconds
        self.script = Script(fail_first)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange(send, receive, scope["extensions"]["simulator.transport"])
        raw = await _read(receive)
        path = scope["path"]
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["query_string"] else {}
        if path.startswith("/_simulator/"):
            await deliver(exchange, self.control(scope["method"], path[12:], query, raw))
            return
        route = find(scope["method"], path)
        request = Request(route.provider, path, query, dict(scope["headers"]), raw, route.name)
        fault = self.script.fault(route.provider, path, raw)
        latency = self.latency_seconds
        if fault is not None and fault.latency_seconds is not None:
            latency = fault.latency_seconds
        if latency > 0:
            await asyncio.sleep(latency)
        if fault is None:
            await deliver(exchange, answer(route, request))
        else:
            await _deliver_faulty(exchange, route, request, fault)

    def control(self, method: str, path: str, query: dict[str, str], raw: bytes) -> Reply:
        """The simulator's own routes: the script, the counts, the images."""
        try:
            return self._control(method, path, query, raw)
        except Refused as refused:
            return error_reply(refused, "openai")

    def _control(self, method: str, path: str, query: dict[str, str], raw: bytes) -> Reply:
        if (method, path) == ("POST", "script"):
            self.script.replace(_order(raw))
        elif (method, path) == ("DELETE", "script"):
            self.script.replace(Order())
        elif (method, path) == ("GET", "calls") and "contains" in query:
            return json_reply(self.script.search(query["contains"]))
        elif (method, path) == ("GET", "calls") and "fingerprints" in query:
            return json_reply(self.script.fingerprints())
        elif (method, path) == ("GET", "calls"):
            return json_reply(self.script.report())
        elif method == "GET" and path.startswith("images/"):
            return media.picture(path.removeprefix("images/"))
        else:
            raise Refused(404, f"The simulator has no {method} /_simulator/{path}.", code="not_found")
        return json_reply({"rules": len(self.script.rules), "recording": self.script.recording})


def answer(route: Route, request: Request, twist: Twist = PLAIN) -> Reply:
    """What the provider says, in its own shape also when it refuses."""
    try:
        _check(route, request)
        assert route.handler is not None
        return route.handler(request, twist)
    except Refused as refused:
        return error_reply(refused, route.protocol)
    except MALFORMED as error:
        why = f"The request is malformed: {type(error).__name__} at {error}."
        return error_reply(Refused(400, why, code="invalid_value"), route.protocol)


def _check(route: Route, request: Request) -> None:
    if route.handler is None:
        raise Refused(route.status, f"Nothing at {request.path}.", code="not_found")
    authorise(route.protocol, request)
    if request.raw or route.handler not in (media.models, media.model):
        request.body = _parse(request.raw)


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Refused(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise Refused(400, "The body must be a JSON object.")
    return body


def _order(raw: bytes) -> Order:
    try:
        return Order.model_validate(_parse(raw))
    except ValidationError as error:
        raise Refused(400, str(error), code="invalid_script") from None


async def _deliver_faulty(exchange: Exchange, route: Route, request: Request, fault: Fault) -> None:
    effect = fault.effect
    if effect.instead is not None:
        await deliver(exchange, effect.instead(fault, route.protocol, _streaming(request)))
        return
    reply = answer(route, request, effect.twist)
    if effect.reshape is not None:
        reply = effect.reshape(reply, fault, route.protocol)
    if effect.deliver is not None:
        await effect.deliver(exchange, reply, fault)
    else:
        await deliver(exchange, reply)


def _streaming(request: Request) -> bool:
    if request.path.endswith(":streamGenerateContent"):
        return request.query.get("alt") == "sse"
    try:
        return _parse(request.raw).get("stream") is True
    except Refused:
        return False


async def _read(receive: Receive) -> bytes:
    message = await receive()
    raw: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return raw
    parts = [raw]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)
