"""The simulator as an ASGI application: finds the route, checks the key, meets fault and limits, answers."""

import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from workers.simulator import data_hub, media, usage_log, usage_reports, web_search
from workers.simulator.call import SimulatedCall
from workers.simulator.call_log import CallLog
from workers.simulator.connection import Receive, Send, SimulatedConnection, deliver
from workers.simulator.control import Control
from workers.simulator.errors import error_reply
from workers.simulator.faults import QUIET, ScriptedFault
from workers.simulator.messages import (
    MALFORMED,
    PLAIN,
    Protocol,
    SimulatedRefusal,
    SimulatedReply,
    SimulatedRequest,
    Twist,
    parse,
)
from workers.simulator.rate_limits import Headers, LimitRule, RateLimiter
from workers.simulator.routes import Route, find
from workers.simulator.script import Script
from workers.simulator.usage_log import UsageLog

#: Keys that begin so are refused as wrong.
WRONG_KEY = "invalid"
TOO_MANY = 429
#: What is asked without a body.
WITHOUT_BODY = (media.models, media.model, data_hub.entity, web_search.searxng, web_search.brave)
#: They answer without a key.
KEYLESS = {"ollama", "searxng", "vllm"}


def authorise(protocol: Protocol, request: SimulatedRequest) -> None:
    """401 without a key, in the place where each provider wants it; servers of one's own want none."""
    key = _key(protocol, request)
    if not key and request.provider in KEYLESS:
        return
    if not key:
        raise SimulatedRefusal(401, "You didn't provide an API key.", code="invalid_api_key")
    if key.startswith(WRONG_KEY):
        status = 400 if protocol.startswith("google") else 401
        code = "API_KEY_INVALID" if status == 400 else "invalid_api_key"
        raise SimulatedRefusal(status, "API key not valid. Please pass a valid API key.", code=code)
    if protocol == "anthropic" and b"anthropic-version" not in request.headers:
        raise SimulatedRefusal(400, "anthropic-version: header is required")


def _key(protocol: Protocol, request: SimulatedRequest) -> str:
    headers = request.headers
    if protocol == "google":
        return headers.get(b"x-goog-api-key", b"").decode("latin-1") or request.query.get("key", "")
    if request.provider == "anthropic" and b"x-api-key" in headers:
        return headers[b"x-api-key"].decode("latin-1")
    if request.provider == "datahub":
        return headers.get(b"x-api-key", b"").decode("latin-1")
    if request.provider == "brave":
        return headers.get(b"x-subscription-token", b"").decode("latin-1")
    if request.provider == "azure":
        return headers.get(b"api-key", b"").decode("latin-1")
    kind, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


class Simulator:
    """One server's state: how it usually is, and its script."""

    def __init__(
        self, usual: ScriptedFault = QUIET, fail_first: float = 0.0, fail: float = 0.0, *limits: LimitRule
    ) -> None:
        self.usual = usual
        self.script = Script(fail_first, fail)
        self.limits = RateLimiter(limits)
        self.tally = CallLog()
        self.usage = UsageLog()
        self.control = Control(self.script, self.limits, self.tally, self.usage)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = SimulatedConnection(send, receive, scope["extensions"]["simulator.transport"])
        raw = await _read(receive)
        path = scope["path"]
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["query_string"] else {}
        if path.startswith("/_simulator/"):
            await deliver(exchange, self.control.answer(scope["method"], path[12:], query, raw))
            return
        if (report := usage_reports.find(self.usage, scope["method"], path, query)) is not None:
            await deliver(exchange, report)
            return
        route = find(scope["method"], path)
        call = SimulatedCall(
            route, SimulatedRequest(route.provider, path, query, dict(scope["headers"]), raw, route.name)
        )
        fault = self.script.fault(call)
        if fault is not None and fault.effect.outage:
            self.tally.note(call, "refused" if fault.status == TOO_MANY else "faulty", fault.name)
            await self._meet(exchange, call, fault, [])
        else:
            await self._admit(exchange, call, fault)

    async def _admit(self, exchange: SimulatedConnection, call: SimulatedCall, fault: ScriptedFault | None) -> None:
        """Answer what the limits admit."""
        admission = self.limits.admit(call)
        if admission.refusal is not None:
            self.tally.note(call, "refused", "limit")
            await deliver(exchange, admission.refusal)
            return
        self.tally.note(call, "admitted", fault.name if fault else "")
        try:
            await self._meet(exchange, call, fault, admission.headers)
        finally:
            admission.release()

    async def _meet(
        self, exchange: SimulatedConnection, call: SimulatedCall, fault: ScriptedFault | None, headers: Headers
    ) -> None:
        """Answer, after the latency, as the fault has it."""
        latency = self.usual.latency if fault is None or fault.latency is None else fault.latency
        if latency:
            await asyncio.sleep(latency)
        id, header = usage_log.name(call)
        if header and not (fault and header[0].decode() in fault.headers):
            headers = [*headers, header]
        if fault is None:
            reply = answer(call.route, call.request)
            self.usage.note(call, reply, id)
            reply.headers += headers
            await deliver(exchange, reply)
        else:
            self._bill(call, fault, id)
            await _deliver_faulty(exchange, call, fault, headers)

    def _bill(self, call: SimulatedCall, fault: ScriptedFault, id: str) -> None:
        """Count a call that meets a fault, unless that comes instead of the provider's work."""
        if not fault.effect.outage and fault.effect.instead is None:
            self.usage.note(call, answer(call.route, call.request, replace(fault.twist, usage="right")), id)


def answer(route: Route, request: SimulatedRequest, twist: Twist = PLAIN) -> SimulatedReply:
    """What the provider says, in its own shape also when it refuses."""
    try:
        _check(route, request)
        assert route.handler is not None
        return route.handler(request, twist)
    except SimulatedRefusal as refused:
        return error_reply(refused, route.protocol)
    except MALFORMED as error:
        why = f"The request is malformed: {type(error).__name__} at {error}."
        return error_reply(SimulatedRefusal(400, why, code="invalid_value"), route.protocol)


def _check(route: Route, request: SimulatedRequest) -> None:
    if route.handler is None:
        raise SimulatedRefusal(route.status, f"Nothing at {request.path}.", code="not_found")
    authorise(route.protocol, request)
    if not request.body and (request.raw or route.handler not in WITHOUT_BODY):
        request.body = parse(request.raw)


async def _deliver_faulty(
    exchange: SimulatedConnection, call: SimulatedCall, fault: ScriptedFault, headers: Headers
) -> None:
    effect = fault.effect
    if effect.instead is not None:
        reply = effect.instead(fault, call)
    else:
        reply = answer(call.route, call.request, fault.twist)
    if effect.reshape is not None:
        reply = effect.reshape(reply, fault, call.route.protocol)
    _add_headers(reply, fault)
    reply.headers += headers
    if effect.deliver is not None:
        await effect.deliver(exchange, reply, fault)
    else:
        await deliver(exchange, reply)


def _add_headers(reply: SimulatedReply, fault: ScriptedFault) -> None:
    for name, value in fault.headers.items():
        if name == "content-type":
            reply.content_type = value.encode()
        else:
            reply.headers.append((name.encode(), value.encode()))


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
