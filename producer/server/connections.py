"""Limits of the connections of this process: how many, of which address, and how long each may take.

A client's slowness costs a descriptor and some memory, so everything that waits for a client has an end: a request's
head, its body, an answer that is not read. Once a second all connections are looked over; nothing is timed for each.
"""

import asyncio
import fcntl
import ipaddress
import logging
import os
import resource
import struct
import termios
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from shared import clock, logs
from shared.settings import Settings

log = logging.getLogger(__name__)

#: Between two looks, and between two lines of the log about the same thing, in seconds.
LOOK_SECONDS, SAY_SECONDS = 1.0, 10.0
#: Descriptors that are kept for what is no client's connection: database, Redis, files, what is being refused.
RESERVED = 128
#: The most connections that are taken where nothing else is said.
USUAL_MOST = 20_000
#: A connection that has been idle for so long may be closed for another that comes, in seconds.
IDLE_SECONDS = 5.0
#: What the limit on open files is raised to at most.
MOST_FILES = 65_536


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one client, and all of them, may take; in seconds, bytes and connections."""

    head_bytes: int
    head_seconds: float
    body_idle_seconds: float
    body_seconds: float
    send_idle_seconds: float
    send_seconds: float
    connections: int
    per_address: int


def bounds(settings: Settings) -> Bounds:
    """As set; the number of connections, where it is not, by how many files the process may open."""
    room = max(8, min(open_files() - RESERVED, open_files() * 3 // 4))
    most = min(settings.connections or USUAL_MOST, room)
    return Bounds(
        head_bytes=settings.head_bytes,
        head_seconds=settings.head_seconds,
        body_idle_seconds=settings.body_idle_seconds,
        body_seconds=settings.body_seconds,
        send_idle_seconds=settings.send_idle_seconds,
        send_seconds=settings.send_seconds,
        connections=most,
        per_address=min(settings.connections_per_address or most // 2, most),
    )


def open_files() -> int:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def raise_open_files() -> None:
    """Let this process open as many files as it may; the usual 1,024 are for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:  # a system with a lower limit of its own
            log.info("could not raise the limit of %d open files: %s", soft, type(error).__name__)


class OpenConnection(Protocol):
    """A connection, as it is counted and looked over."""

    @property
    def address(self) -> str:
        """By what it is counted; see `address_of`."""
        ...

    @property
    def transport(self) -> Any:
        """What it is aborted by."""
        ...

    def look(self, now: float) -> None:
        """Close it if it has taken too long."""
        ...


@dataclass(slots=True)
class Connections:
    """Every connection of this process."""

    bounds: Bounds
    #: The server stops: each answer closes its connection.
    closing: bool = False
    _open: set[OpenConnection] = field(default_factory=set)
    _by_address: Counter[str] = field(default_factory=Counter)
    #: Those between two requests, since when, the one that has been so for longest first.
    _idle: dict[OpenConnection, float] = field(default_factory=dict)
    #: Those that have been refused, and may still read why.
    _lingering: set[OpenConnection] = field(default_factory=set)
    #: What went wrong since the last line about it: how often, by address.
    _noted: dict[str, Counter[str]] = field(default_factory=dict)
    _said_at: dict[str, float] = field(default_factory=dict)

    def admit(self, one: OpenConnection) -> bool:
        """Count a new connection in; when there is no room, one that idles makes it, and False when none does."""
        if self._by_address[one.address] >= self.bounds.per_address and not self._make_room(one.address):
            return self._refuse("from its address", one.address)
        if len(self._open) >= self.bounds.connections and not self._make_room():
            return self._refuse("in total", one.address)
        self._open.add(one)
        self._by_address[one.address] += 1
        return True

    def release(self, one: OpenConnection) -> None:
        """It is closed."""
        self._idle.pop(one, None)
        self._lingering.discard(one)
        if one in self._open:
            self._open.discard(one)
            self._by_address[one.address] -= 1
            if not self._by_address[one.address]:
                del self._by_address[one.address]

    def rest(self, one: OpenConnection) -> None:
        """It is between two requests."""
        if one in self._open:
            self._idle[one] = clock.monotonic()

    def wake(self, one: OpenConnection) -> None:
        """It is not, any more."""
        self._idle.pop(one, None)

    def _make_room(self, address: str | None = None) -> bool:
        """Close the connection, of that address, that has been idle for longest."""
        long_ago = clock.monotonic() - IDLE_SECONDS
        for one, since in self._idle.items():
            if since > long_ago:
                return False
            if address is None or one.address == address:
                self.release(one)
                one.transport.abort()
                return True
        return False

    def linger(self, one: OpenConnection) -> bool:
        """Whether one that is refused may stay for a moment; so many at once, or refusing would cost what it saves."""
        if len(self._lingering) >= RESERVED // 4:
            return False
        self._lingering.add(one)
        return True

    def _refuse(self, why: str, address: str) -> bool:
        if not self._by_address[address]:
            del self._by_address[address]
        self.note(f"connections refused, too many open {why}", address)
        return False

    def note(self, what: str, address: str) -> None:
        """Something that a stranger may cause as often as it likes: said at once, then summed up every so often."""
        self._noted.setdefault(what, Counter())[address] += 1
        if len(self._noted[what]) > MOST_FILES:
            self._say(what)
        elif clock.monotonic() - self._said_at.get(what, float("-inf")) >= SAY_SECONDS:
            self._say(what)

    def _say(self, what: str) -> None:
        noted = self._noted.pop(what)
        self._said_at[what] = clock.monotonic()
        (address, most), *others = noted.most_common(2)
        whose = f"{address}" if not others else f"{address} ({most}) and {len(noted) - 1} other addresses"
        log.warning("%s: %d, from %s; open connections: %d", what, noted.total(), whose, len(self._open))

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look(clock.monotonic())

    def look(self, now: float) -> None:
        """Close what has taken too long, and say what has been noted."""
        for one in list(self._open):
            try:
                one.look(now)
            except Exception as error:
                log.error("connection closed after an internal error: %s", logs.trace(error))
                one.transport.abort()
        for what in [what for what in self._noted if now - self._said_at.get(what, 0.0) >= SAY_SECONDS]:
            self._say(what)
        self._look_for_room()

    def _look_for_room(self) -> None:
        try:
            os.close(os.dup(0))
        except OSError as error:
            self.note(f"cannot accept connections ({error.strerror}: raise the limit on open files)", "this process")


def address_of(peer: tuple[str, int] | None) -> str:
    """By what the connections of one client are counted: its IPv4 address, or its network of IPv6 (64 bits)."""
    return _counted_as(peer[0]) if peer else "unknown address"


@lru_cache(maxsize=4096)
def _counted_as(host: str) -> str:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown address"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def unsent_bytes(transport: object, descriptor: int | None) -> int:
    """What has been written and not been taken: by the system, and of that by the other side, where it tells."""
    unsent: int = transport.get_write_buffer_size()  # type: ignore[attr-defined]
    if descriptor is None or not unsent:
        return unsent
    try:
        (queued,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
    except OSError:
        return unsent
    return unsent + int(queued)


def unread_bytes(descriptor: int | None) -> int:
    """What the other side has sent and this process has not read yet, where the system tells."""
    if descriptor is None:
        return 0
    try:
        (queued,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))
    except OSError:
        return 0
    return int(queued)
