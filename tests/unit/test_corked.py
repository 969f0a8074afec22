"""A response's head goes with the beginning of its body, by itself where nothing follows, and nothing gets lost."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from producer.server.corked import CorkedTransport

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Wire:
    """A transport, and what was done with it."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.write = self.done.append
        self.get_protocol = "protocol".upper

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")

    def write_eof(self) -> None:
        self.done.append("eof")

    def is_closing(self) -> bool:
        return "close" in self.done

    def get_write_buffer_size(self) -> int:
        return 7

    def get_extra_info(self, name: str) -> str:
        return name


def after(*steps: Callable[[CorkedTransport], None], turns: int = 0) -> list[Any]:
    """What was done with a transport, after these steps and so many turns of the event loop."""

    async def scene() -> list[Any]:
        wire = Wire()
        corked = CorkedTransport(cast(asyncio.Transport, wire), asyncio.get_running_loop())
        for step in steps:
            step(corked)
        for _ in range(turns):
            await asyncio.sleep(0)
        return list(wire.done)

    return asyncio.run(scene())


def write(data: bytes) -> Callable[[CorkedTransport], None]:
    return lambda corked: corked.write(data)


def test_a_head_waits_for_what_follows_and_no_longer_than_a_turn() -> None:
    assert after(write(HEAD), turns=0) == []
    assert after(write(HEAD), write(b"{}"), turns=2) == [HEAD + b"{}"]
    assert after(write(HEAD), turns=1) == [HEAD]


def test_what_is_no_head_alone_is_sent_at_once_and_in_order() -> None:
    assert after(write(b"data: 1\n\n"), write(b"data: 2\n\n")) == [b"data: 1\n\n", b"data: 2\n\n"]
    assert after(write(HEAD + b"{}")) == [HEAD + b"{}"]
    assert after(write(HEAD), write(b"{}"), write(b"more"), turns=2) == [HEAD + b"{}", b"more"]
    assert after(write(b"HTTP/1.1 100 Continue\r\n\r\n"), write(HEAD), turns=2) == [
        b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD
    ]
    assert after(write(HEAD), write(b""), turns=2) == [HEAD]


@pytest.mark.parametrize("end", ["close", "write_eof"])
def test_an_end_sends_the_head_first(end: str) -> None:
    done = after(write(HEAD), lambda corked: getattr(corked, end)(), turns=2)
    assert done == [HEAD, end.removeprefix("write_")]


def test_an_abort_drops_it() -> None:
    assert after(write(HEAD), lambda corked: corked.abort(), turns=2) == ["abort"]


def test_all_else_is_the_transports_own() -> None:
    async def scene() -> None:
        corked = CorkedTransport(cast(asyncio.Transport, Wire()), asyncio.get_running_loop())
        assert corked.get_write_buffer_size() == 7 and corked.get_extra_info("peername") == "peername"
        assert not corked.is_closing() and corked.get_protocol() == "PROTOCOL"
        corked.close()
        assert corked.is_closing()
        with pytest.raises(AttributeError):
            corked.nothing()

    asyncio.run(scene())
