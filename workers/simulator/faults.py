"""The faults that a script can order. They are data: KINDS has one row for each, and a new fault is one more row.

A fault acts in one of four places: it twists what the provider says, answers instead of it, reshapes the finished
reply, or delivers the reply in another way.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workers.simulator.errors import error_event, error_in_200, error_reply
from workers.simulator.wire import PLAIN, Protocol, Refused, Reply, Twist

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]

#: Into how many parts slow_body cuts an answer that is not a stream.
DRIPS = 10
#: How much more than it sends wrong_content_length promises.
MISSING_BYTES = 64
#: Time for bytes to leave before a connection is reset behind them.
FLUSH_SECONDS = 0.02


class Fault(BaseModel):
    """What goes wrong, as a script says it. `status`, `code` and `message` dress the errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = ""
    latency_seconds: float | None = Field(default=None, ge=0)
    status: int | None = Field(default=None, ge=200, le=599)
    retry_after: float | None = Field(default=None, ge=0)
    code: str = ""
    message: str = ""
    #: slow_body: how long the body takes.
    seconds: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def known(self) -> "Fault":
        """A misspelt kind would make a test pass for the wrong reason."""
        if self.kind and self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; known: {', '.join(sorted(KINDS))}")
        return self

    @property
    def effect(self) -> "Kind":
        """The row of KINDS; a bare status is an error, and a bare latency changes nothing else."""
        return KINDS[self.kind or ("error" if self.status else "none")]

    @property
    def refusal(self) -> Refused:
        """The error that this fault orders."""
        message = self.message or "This error was scripted by the simulator."
        return Refused(self.status or 500, message, code=self.code, retry_after=self.retry_after)


@dataclass(slots=True)
class Exchange:
    """The connection under a reply; `transport` is uvicorn's own, for what ASGI cannot say."""

    send: Send
    receive: Receive
    transport: asyncio.Transport

    async def start(self, reply: Reply, length: int | None) -> None:
        """Send the head; without a length the body is chunked."""
        headers = [(b"content-type", reply.content_type), *reply.headers]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        await self.send({"type": "http.response.start", "status": reply.status, "headers": headers})

    async def part(self, data: bytes, *, last: bool) -> None:
        """Send a part of the body."""
        await self.send({"type": "http.response.body", "body": data, "more_body": not last})

    async def gone(self) -> None:
        """Wait until the client (or we) closed the connection."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def close(self) -> None:
        """Close the connection in good manners, whatever was promised."""
        self.transport.close()
        await self.gone()

    async def reset(self) -> None:
        """Close it with a TCP reset."""
        if (pseudo := self.transport.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError), socket.fromfd(pseudo.fileno(), pseudo.family, pseudo.type) as real:
                real.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.transport.abort()
        await self.gone()


Deliver = Callable[[Exchange, Reply, Fault], Awaitable[None]]
Instead = Callable[[Fault, Protocol, bool], Reply]


@dataclass(frozen=True, slots=True)
class Kind:
    """Where a fault acts. `instead` gets the protocol and whether a stream was asked for."""

    twist: Twist = PLAIN
    instead: Instead | None = None
    reshape: Callable[[Reply, Fault, Protocol], Reply] | None = None
    deliver: Deliver | None = None


async def deliver(exchange: Exchange, reply: Reply) -> None:
    """Send a reply as a sound provider does."""
    if reply.events is None:
        await exchange.start(reply, len(reply.body))
        await exchange.part(reply.body, last=True)
        return
    await exchange.start(reply, None)
    for data in reply.events:
        await exchange.part(data, last=False)
    await exchange.part(b"", last=True)


def _gateway_page(fault: Fault, protocol: Protocol, streaming: bool) -> Reply:
    page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\r\n"
    return Reply(fault.status or 502, page, b"text/html; charset=utf-8")


def _half(reply: Reply) -> list[bytes]:
    events = reply.events or []
    return events[: max(len(events) // 2, 1)]


def _malformed(reply: Reply, fault: Fault, protocol: Protocol) -> Reply:
    if reply.events is None:
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    kept = _half(reply)
    return replace(reply, events=[*kept[:-1], kept[-1].rstrip()[:-2] + b"\n\n", *reply.events[len(kept) :]])


def _truncated(reply: Reply, fault: Fault, protocol: Protocol) -> Reply:
    return reply if reply.events is None else replace(reply, events=_half(reply))


def _error_mid_stream(reply: Reply, fault: Fault, protocol: Protocol) -> Reply:
    if reply.events is None:
        return error_in_200(fault.refusal, protocol, False)
    return replace(reply, events=[*_half(reply), error_event(fault.refusal, protocol)])


async def _hang(exchange: Exchange, reply: Reply, fault: Fault) -> None:
    await exchange.gone()


async def _reset(exchange: Exchange, reply: Reply, fault: Fault) -> None:
    await exchange.reset()


async def _reset_mid_body(exchange: Exchange, reply: Reply, fault: Fault) -> None:
    await exchange.start(reply, None if reply.events else len(reply.body))
    await exchange.part(b"".join(_half(reply)) or reply.body[: len(reply.body) // 2], last=False)
    await asyncio.sleep(FLUSH_SECONDS)
    await exchange.reset()


async def _wrong_content_length(exchange: Exchange, reply: Reply, fault: Fault) -> None:
    body = reply.body if reply.events is None else b"".join(reply.events)
    await exchange.start(reply, len(body) + MISSING_BYTES)
    await exchange.part(body, last=False)
    await exchange.close()


async def _slow_body(exchange: Exchange, reply: Reply, fault: Fault) -> None:
    parts, step = reply.events, max(-(-len(reply.body) // DRIPS), 1)
    if parts is None:
        parts = [reply.body[at : at + step] for at in range(0, len(reply.body), step)]
    await exchange.start(reply, None if reply.events else len(reply.body))
    for at, data in enumerate(parts):
        await exchange.part(data, last=at == len(parts) - 1)
        await asyncio.sleep(fault.seconds / len(parts))


KINDS: dict[str, Kind] = {
    "none": Kind(),
    "error": Kind(instead=lambda fault, protocol, _: error_reply(fault.refusal, protocol)),
    "error_in_200": Kind(instead=lambda fault, protocol, stream: error_in_200(fault.refusal, protocol, stream)),
    "html": Kind(instead=_gateway_page),
    "missing_usage": Kind(twist=Twist(usage="missing")),
    "excess_usage": Kind(twist=Twist(usage="excess")),
    "empty_choices": Kind(twist=Twist(empty=True)),
    "refusal": Kind(twist=Twist(ending="refusal")),
    "content_filter": Kind(twist=Twist(ending="content_filter")),
    "malformed_json": Kind(reshape=_malformed),
    "truncated_stream": Kind(reshape=_truncated),
    "error_mid_stream": Kind(reshape=_error_mid_stream),
    "reset": Kind(deliver=_reset),
    "reset_mid_body": Kind(deliver=_reset_mid_body),
    "wrong_content_length": Kind(deliver=_wrong_content_length),
    "slow_body": Kind(deliver=_slow_body),
    "hang": Kind(deliver=_hang),
}

#: What `--fail-first` answers, chosen by the request's hash.
FIRST_FAILURES: tuple[Fault, ...] = (
    Fault(status=500, message="A first attempt fails here (500)."),
    Fault(status=429, retry_after=0, message="A first attempt fails here (429)."),
    Fault(status=503, message="A first attempt fails here (503)."),
)
