"""Faults of the transport that no sound server could make: written to the connection byte by byte, past the server."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Final

from workers.simulator.connection import SimulatedConnection
from workers.simulator.messages import SimulatedReply

#: Between two bytes of a head that drips.
DRIP_SECONDS: Final = 0.05
#: Time for bytes to leave before a connection is reset behind them.
FLUSH_SECONDS: Final = 0.02
#: More than any client takes of one header.
LONG_BYTES: Final = 2_000_000


def whole_body(reply: SimulatedReply) -> bytes:
    """All that a reply says, as one body."""
    return reply.body if reply.events is None else b"".join(reply.events)


def _head(reply: SimulatedReply, *framing: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d Simulated" % reply.status, b"content-type: " + reply.content_type]
    lines += [name + b": " + value for name, value in reply.headers]
    return b"\r\n".join([*lines, *framing, b"", b""])


def _length(body: bytes) -> bytes:
    return b"content-length: %d" % len(body)


async def _said(exchange: SimulatedConnection, *said: bytes) -> None:
    exchange.transport.write(b"".join(said))
    await exchange.close()


async def bad_chunks(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """A chunked body, whose second chunk has a length that is none."""
    body = whole_body(reply)
    half = body[: len(body) // 2]
    chunk = b"%x\r\n%s\r\n" % (len(half), half)
    await _said(exchange, _head(reply, b"transfer-encoding: chunked"), chunk, b"zz\r\n", body[len(half) :], b"\r\n")


async def unended_chunks(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """A chunked body, all of whose data come, and never its end."""
    body = whole_body(reply)
    await _said(exchange, _head(reply, b"transfer-encoding: chunked"), b"%x\r\n%s\r\n" % (len(body), body))


async def unframed(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """A body that ends with its connection, as in HTTP/1.0: sound, if old."""
    await _said(exchange, _head(reply, b"connection: close"), whole_body(reply))


async def short_content_length(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """A body of twice the bytes that its head promises."""
    body = whole_body(reply)
    await _said(exchange, _head(reply, _length(body[: len(body) // 2])), body)


async def bad_gzip(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """A body that is said to be compressed, and is not."""
    body = whole_body(reply)
    await _said(exchange, _head(reply, b"content-encoding: gzip", _length(body)), body)


async def cut_gzip(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """A compressed body, of which the second half never existed."""
    body = gzip.compress(whole_body(reply))
    body = body[: len(body) // 2]
    await _said(exchange, _head(reply, b"content-encoding: gzip", _length(body)), body)


async def half_head(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """A connection that is closed in the midst of the head."""
    head = _head(reply, b"")
    await _said(exchange, head[: len(head) // 2])


async def not_http(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """An answer in another protocol."""
    await _said(exchange, b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


async def long_header(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """A header that is longer than any client takes."""
    body = whole_body(reply)
    await _said(exchange, _head(reply, _length(body), b"x-long: " + b"x" * LONG_BYTES), body)


async def hang_up(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """A connection that is closed in good manners, and without a byte."""
    await exchange.close()


async def reset_after_head(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """A connection that is reset after the head."""
    exchange.transport.write(_head(reply, _length(whole_body(reply))))
    await asyncio.sleep(FLUSH_SECONDS)
    await exchange.reset()


async def slow_head(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """A head that drips, a byte at a time, and has no end (slow loris)."""
    exchange.transport.write(_head(reply)[:-2] + b"x-slow: ")
    while not await exchange.gone_within(DRIP_SECONDS):
        exchange.transport.write(b"x")


#: The faults of this module by their names.
DELIVERIES: Final[dict[str, Callable[[SimulatedConnection, SimulatedReply], Awaitable[None]]]] = {
    made.__name__: made
    for made in (
        *(bad_chunks, unended_chunks, unframed, short_content_length, bad_gzip, cut_gzip, half_head, not_http),
        *(long_header, hang_up, reset_after_head, slow_head),
    )
}
#: Those of which no head comes: the provider is away.
HEADLESS: Final = frozenset({"half_head", "not_http", "long_header", "hang_up", "slow_head"})
