"""Listening sockets that close without resetting connections that are just being made.

Closing a listening socket resets every connection that the system has made there and the process has not taken yet: its
client has sent a request, and reads ECONNRESET. So a filter that drops the first packet of a connection (SYN, Linux's
SO_ATTACH_FILTER, socket(7)) comes first: a client sends that packet again a second later, to the next process on the
port or to one that refuses. Once what was made before has been taken, the socket can be closed.
"""

import asyncio
import ctypes
import logging
import os
import socket
import struct
import sys
from collections.abc import Iterable

log = logging.getLogger(__name__)

#: How long handshakes that had begun may take to end: a round trip to a client, in seconds.
HANDSHAKE_SECONDS = 0.2
#: Linux's, which the socket module does not name (include/uapi/asm-generic/socket.h).
_SO_ATTACH_FILTER = 26
#: Classic BPF over the TCP header (Linux, Documentation/networking/filter.rst): code, jump if true, if false, operand.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x45, 0, 1, 0x02),  # SYN among them? go on, or jump over one
    (0x06, 0, 0, 0),  # keep nothing of the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # keep all of it
)


async def take_no_more(servers: Iterable[asyncio.Server]) -> None:
    """Return once everything that has connected is taken, and, on Linux, nothing new connects."""
    for server in servers:
        for listening in server.sockets:
            _drop_new(listening.fileno())
    await asyncio.sleep(HANDSHAKE_SECONDS)


def _drop_new(descriptor: int) -> None:
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN))
    given = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    if not sys.platform.startswith("linux"):
        return
    with socket.socket(fileno=os.dup(descriptor)) as listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, given)
        except OSError as error:  # a sandbox without it: a connection made in the last moment is reset
            log.info("cannot hold back new connections during shutdown: %s", error.strerror)
