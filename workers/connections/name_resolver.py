"""Resolves host names; a name server that does not answer delays only what goes to its own names.

The system's resolver cannot be given up: its thread waits on, up to 40 s, when nobody does any more. asyncio has six to
forty of these for everything; here each lookup has its own, a name is looked up once at a time, and one that was slow
before has its turn among the slow alone.
"""

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from shared import clock

#: Lookups at once: of names that are not known to be slow, which is more than webhooks that are not known yet may have
#: sends at once (workers.webhooks.send_slots); of those that are.
MOST_QUICK: Final = 128
MOST_SLOW: Final = 32
#: A lookup that takes longer than this is slow, in seconds.
SLOW_SECONDS: Final = 1.0
#: Slow names that are remembered.
REMEMBERED: Final = 10_000


class NameResolver:
    """One process's lookups, on its event loop."""

    def __init__(self) -> None:
        self._quick_lookups, self._slow_lookups = asyncio.Semaphore(MOST_QUICK), asyncio.Semaphore(MOST_SLOW)
        self._under_way: dict[tuple[str, int], asyncio.Task[list[str]]] = {}
        self._slow: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a name, in every spelling that the system reads; OSError or UnicodeError for none."""
        place = host, port
        if (task := self._under_way.get(place)) is None:
            task = self._under_way[place] = asyncio.create_task(self._look_up(host, port))
            task.add_done_callback(lambda done: self._over(place, done))
        return await asyncio.shield(task)

    async def _look_up(self, host: str, port: int) -> list[str]:
        async with self._slow_lookups if host in self._slow else self._quick_lookups:
            loop, began = asyncio.get_running_loop(), clock.monotonic()
            found: asyncio.Future[list[str]] = loop.create_future()
            slow = loop.call_later(SLOW_SECONDS, self._note_slow, host)
            asking = threading.Thread(target=_ask, args=(loop, found, host, port), name="name", daemon=True)
            asking.start()
            try:
                return await found
            finally:
                slow.cancel()
                if clock.monotonic() - began < SLOW_SECONDS:
                    self._slow.pop(host, None)

    def _note_slow(self, host: str) -> None:
        self._slow[host] = None
        self._slow.move_to_end(host)
        if len(self._slow) > REMEMBERED:
            self._slow.popitem(last=False)

    def _over(self, place: tuple[str, int], done: "asyncio.Task[list[str]]") -> None:
        self._under_way.pop(place, None)
        if not done.cancelled():
            done.exception()  # whoever asked may have given up


def _ask(loop: asyncio.AbstractEventLoop, found: "asyncio.Future[list[str]]", host: str, port: int) -> None:
    """On a thread of its own."""
    answer: Any
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answer = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in rows))
    except Exception as error:
        answer = error
    with suppress(RuntimeError):  # the loop is closed: the process stops
        loop.call_soon_threadsafe(_hand_over, found, answer)


def _hand_over(found: "asyncio.Future[list[str]]", answer: Any) -> None:
    if found.done():
        return
    if isinstance(answer, Exception):
        found.set_exception(answer)
    else:
        found.set_result(answer)
