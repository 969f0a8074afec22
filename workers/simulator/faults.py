"""The faults that a script can order. They are data: KINDS has one row for each, and a new fault is one more row.

A fault acts in one of four places: it twists what the provider says, answers instead of it, reshapes the finished
reply, or delivers the reply in another way.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workers.simulator import broken_http, odd_replies, odd_streams
from workers.simulator.call import SimulatedCall
from workers.simulator.connection import SimulatedConnection
from workers.simulator.error_messages import too_long
from workers.simulator.errors import error_event, error_in_200, error_reply
from workers.simulator.messages import PLAIN, Protocol, SimulatedRefusal, SimulatedReply, Twist

#: How long slow_body and slow_start take when a script does not say.
USUAL_SECONDS = 1.0
#: The longest answer that a fault may ask for.
MOST_TOKENS = 100_000
#: What an event with text has, by any of the protocols.
TEXT = re.compile(rb'"(content|text)":"[^"]')
#: Into how many parts slow_body cuts an answer that is not a stream.
DRIPS = 10
#: How much more than it sends wrong_content_length promises.
MISSING_BYTES = 64


class ScriptedFault(BaseModel):
    """What goes wrong, as a script says it. `status`, `code` and `message` dress the errors.

    `seconds`: slow_body: how long the body takes; slow_start: how long after its head it begins; stall: how long it
    is silent in its midst, for ever when absent. `tokens`: how many of a stream's events with text come before what
    goes wrong in it; half of them when absent, and of an answer that is no stream. `answer_tokens`: the text of the
    answer has so many such events. `window`: how many tokens the model takes; a longer prompt meets this fault.
    `headers` are added to whatever answer there is; `body` is what `answer` says, as it stands.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = ""
    latency_seconds: float | None = Field(default=None, ge=0)
    #: With it the latency is anything between the two, another for each call.
    latency_up_to: float | None = Field(default=None, ge=0)
    status: int | None = Field(default=None, ge=200, le=599)
    retry_after: float | None = Field(default=None, ge=0)
    code: str = ""
    message: str = ""
    seconds: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    answer_tokens: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    window: int | None = Field(default=None, ge=0)
    headers: dict[str, str] = {}
    body: str = ""

    @model_validator(mode="after")
    def known(self) -> "ScriptedFault":
        """A misspelt kind would make a test pass for the wrong reason."""
        if self.kind and self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; known: {', '.join(sorted(KINDS))}")
        if (self.kind == "context_length") != (self.window is not None):
            raise ValueError("the kind context_length needs a window, and no other kind has one")
        if self.latency_up_to is not None and self.latency_up_to < (self.latency_seconds or 0):
            raise ValueError("latency_up_to is less than latency_seconds")
        return self

    @property
    def effect(self) -> "Kind":
        """The row of KINDS; a bare status is an error, and a bare latency changes nothing else."""
        return KINDS[self.kind or ("error" if self.status else "none")]

    @property
    def name(self) -> str:
        """What the log calls it: the kind, or the status of an error."""
        return self.kind or (str(self.status) if self.status else "slow")

    @property
    def latency(self) -> float | None:
        """Seconds before the answer; None: as ever."""
        if self.latency_up_to is None:
            return self.latency_seconds
        return random.uniform(self.latency_seconds or 0.0, self.latency_up_to)

    @property
    def twist(self) -> Twist:
        """What the provider says otherwise."""
        return replace(self.effect.twist, length=self.answer_tokens)

    @property
    def refusal(self) -> SimulatedRefusal:
        """The error that this fault orders."""
        message = self.message or "This error was scripted by the simulator."
        return SimulatedRefusal(self.status or 500, message, code=self.code, retry_after=self.retry_after)


Deliver = Callable[[SimulatedConnection, SimulatedReply, ScriptedFault], Awaitable[None]]
Instead = Callable[[ScriptedFault, SimulatedCall], SimulatedReply]


@dataclass(frozen=True, slots=True)
class Kind:
    """Where a fault acts. `outage`: the provider does not get so far as to look at its rate limits."""

    twist: Twist = PLAIN
    instead: Instead | None = None
    reshape: Callable[[SimulatedReply, ScriptedFault, Protocol], SimulatedReply] | None = None
    deliver: Deliver | None = None
    outage: bool = False


def _error(fault: ScriptedFault, call: SimulatedCall) -> SimulatedReply:
    return error_reply(fault.refusal, call.route.protocol)


def _error_in_200(fault: ScriptedFault, call: SimulatedCall) -> SimulatedReply:
    return error_in_200(fault.refusal, call.route.protocol, call.streaming)


def _too_long(fault: ScriptedFault, call: SimulatedCall) -> SimulatedReply:
    refused = too_long(call.route.provider, call.route.protocol, call.prompt_tokens, fault.window or 0)
    return error_reply(refused, call.route.protocol)


def _gateway_page(fault: ScriptedFault, call: SimulatedCall) -> SimulatedReply:
    page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\r\n"
    return SimulatedReply(fault.status or 502, page, b"text/html; charset=utf-8")


def _as_it_stands(fault: ScriptedFault, call: SimulatedCall) -> SimulatedReply:
    return SimulatedReply(fault.status or 200, fault.body.encode())


def _begun(reply: SimulatedReply, fault: ScriptedFault) -> list[bytes]:
    """The events of a stream that come before what goes wrong: half of them, or as many with text as were asked for."""
    events = reply.events or []
    if fault.tokens is None:
        return events[: max(len(events) // 2, 1)]
    # OpenAI's first event has no text, Anthropic's first two have none.
    silent = next((at for at, data in enumerate(events) if TEXT.search(data)), 0)
    return events[: silent + fault.tokens]


def _begun_bytes(reply: SimulatedReply, fault: ScriptedFault) -> bytes:
    return b"".join(_begun(reply, fault)) if reply.events else reply.body[: len(reply.body) // 2]


def _malformed(reply: SimulatedReply, fault: ScriptedFault, protocol: Protocol) -> SimulatedReply:
    if reply.events is None:
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    kept = _begun(reply, fault) or reply.events[:1]
    return replace(reply, events=[*kept[:-1], kept[-1].rstrip()[:-2] + b"\n\n", *reply.events[len(kept) :]])


def _truncated(reply: SimulatedReply, fault: ScriptedFault, protocol: Protocol) -> SimulatedReply:
    return reply if reply.events is None else replace(reply, events=_begun(reply, fault))


def _without_end(reply: SimulatedReply, fault: ScriptedFault, protocol: Protocol) -> SimulatedReply:
    return reply if reply.events is None else replace(reply, events=reply.events[:-1])


def _error_mid_stream(reply: SimulatedReply, fault: ScriptedFault, protocol: Protocol) -> SimulatedReply:
    if reply.events is None:
        return error_in_200(fault.refusal, protocol, False)
    return replace(reply, events=[*_begun(reply, fault), error_event(fault.refusal, protocol)])


def _error_at_end(reply: SimulatedReply, fault: ScriptedFault, protocol: Protocol) -> SimulatedReply:
    if reply.events is None:
        return reply
    error = error_event(fault.refusal, protocol)
    *before, last = reply.events
    return replace(reply, events=[*before, last, error] if protocol == "google" else [*before, error, last])


def _odd(change: Callable[[SimulatedReply, Protocol], SimulatedReply]) -> Kind:
    return Kind(reshape=lambda reply, fault, protocol: change(reply, protocol))


def _broken(send: Callable[[SimulatedConnection, SimulatedReply], Awaitable[None]]) -> Deliver:
    return lambda exchange, reply, fault: send(exchange, reply)


async def _hang(exchange: SimulatedConnection, reply: SimulatedReply, fault: ScriptedFault) -> None:
    await exchange.gone()


async def _reset(exchange: SimulatedConnection, reply: SimulatedReply, fault: ScriptedFault) -> None:
    await exchange.reset()


async def _reset_mid_body(exchange: SimulatedConnection, reply: SimulatedReply, fault: ScriptedFault) -> None:
    await exchange.start(reply, None if reply.events else len(reply.body))
    await exchange.part(_begun_bytes(reply, fault), last=False)
    await asyncio.sleep(broken_http.FLUSH_SECONDS)
    await exchange.reset()


async def _wrong_content_length(exchange: SimulatedConnection, reply: SimulatedReply, fault: ScriptedFault) -> None:
    body = reply.body if reply.events is None else b"".join(reply.events)
    await exchange.start(reply, len(body) + MISSING_BYTES)
    await exchange.part(body, last=False)
    await exchange.close()


async def _slow_body(exchange: SimulatedConnection, reply: SimulatedReply, fault: ScriptedFault) -> None:
    parts, step = reply.events, max(-(-len(reply.body) // DRIPS), 1)
    if parts is None:
        parts = [reply.body[at : at + step] for at in range(0, len(reply.body), step)]
    await exchange.start(reply, None if reply.events else len(reply.body))
    for at, data in enumerate(parts):
        await exchange.part(data, last=at == len(parts) - 1)
        await asyncio.sleep(_seconds(fault) / len(parts))


async def _slow_start(exchange: SimulatedConnection, reply: SimulatedReply, fault: ScriptedFault) -> None:
    await exchange.start(reply, None if reply.events else len(reply.body))
    if not await exchange.gone_within(_seconds(fault)):
        await exchange.part(b"".join(reply.events or [reply.body]), last=True)


async def _stall(exchange: SimulatedConnection, reply: SimulatedReply, fault: ScriptedFault) -> None:
    await exchange.start(reply, None if reply.events else len(reply.body))
    begun = _begun_bytes(reply, fault)
    await exchange.part(begun, last=False)
    if fault.seconds is None:
        await exchange.gone()
    elif not await exchange.gone_within(fault.seconds):
        await exchange.part(b"".join(reply.events or [reply.body])[len(begun) :], last=True)


def _seconds(fault: ScriptedFault) -> float:
    return USUAL_SECONDS if fault.seconds is None else fault.seconds


KINDS: dict[str, Kind] = {
    "none": Kind(),
    "error": Kind(instead=_error, outage=True),
    "error_in_200": Kind(instead=_error_in_200),
    "html": Kind(instead=_gateway_page, outage=True),
    "missing_usage": Kind(twist=Twist(usage="missing")),
    "excess_usage": Kind(twist=Twist(usage="excess")),
    "empty_choices": Kind(twist=Twist(empty=True)),
    "refusal": Kind(twist=Twist(ending="refusal")),
    "content_filter": Kind(twist=Twist(ending="content_filter")),
    "context_length": Kind(instead=_too_long),
    "malformed_json": Kind(reshape=_malformed),
    "truncated_stream": Kind(reshape=_truncated),
    "no_done": Kind(reshape=_without_end),
    "error_mid_stream": Kind(reshape=_error_mid_stream),
    "reset": Kind(deliver=_reset, outage=True),
    "reset_mid_body": Kind(deliver=_reset_mid_body),
    "wrong_content_length": Kind(deliver=_wrong_content_length),
    "slow_body": Kind(deliver=_slow_body),
    "slow_start": Kind(deliver=_slow_start),
    "stall": Kind(deliver=_stall),
    "hang": Kind(deliver=_hang, outage=True),
    "answer": Kind(instead=_as_it_stands),
    "error_at_end": Kind(reshape=_error_at_end),
    **{
        name: Kind(deliver=_broken(send), outage=name in broken_http.HEADLESS)
        for name, send in broken_http.DELIVERIES.items()
    },
    **{name: _odd(change) for name, change in odd_streams.CHANGES.items()},
    **{name: _odd(odd_replies.changed(change)) for name, change in odd_replies.CHANGES.items()},
    "odd_lines": _odd(odd_replies.odd_lines),
    "other_form": _odd(odd_replies.other_form),
}

#: Nothing wrong at all.
QUIET = ScriptedFault()

#: What `--fail-first` answers, chosen by the request's hash.
FIRST_FAILURES: tuple[ScriptedFault, ...] = (
    ScriptedFault(status=500, message="A first attempt fails here (500)."),
    ScriptedFault(status=429, retry_after=0, message="A first attempt fails here (429)."),
    ScriptedFault(status=503, message="A first attempt fails here (503)."),
)

#: What `--fail` answers now and then: what a busy provider does.
BUSY: tuple[ScriptedFault, ...] = (
    ScriptedFault(status=500, message="The server had an error while processing your request."),
    ScriptedFault(status=429, retry_after=1, message="Too many requests; try again in a second."),
    ScriptedFault(status=503, message="The engine is currently overloaded, please try again later."),
)
