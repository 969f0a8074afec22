"""Whom our own connections over TLS trust: the system's authorities, the usual ones, and the operator's."""

import asyncio
import ssl

import httpx

from shared import authorities


class Trust:
    """What a process's connections trust: read when the first is made, once, on a thread, since it takes 20 ms."""

    def __init__(self) -> None:
        self._reading: asyncio.Task[ssl.SSLContext] | None = None

    async def __call__(self) -> ssl.SSLContext:
        """The context that all have in common; an error is kept too, as what it was read from is."""
        if self._reading is None:
            self._reading = asyncio.create_task(asyncio.to_thread(_read))
        return await asyncio.shield(self._reading)


def _read() -> ssl.SSLContext:
    context = authorities.trust(httpx.create_ssl_context(trust_env=False), authorities.more())
    context.load_default_certs()
    context.set_alpn_protocols(["http/1.1"])
    return context
