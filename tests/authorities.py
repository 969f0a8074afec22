"""Reads the list of certificate authorities once: it costs each HTTP client 20 ms of a core, and tests make thousands.

Only clients that were told nothing about it share what was read, those of httpx and of httpx2, on which OpenAI's SDK
stands. A client with a context of its own, as the product's have, keeps that.
"""

import os
import ssl
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx
import httpx2
from httpx._transports import default
from httpx2._transports import default as default2

#: Where they look for another list, unless they are not to trust the environment.
_CHOSEN = ("SSL_CERT_FILE", "SSL_CERT_DIR")

Make = Callable[..., ssl.SSLContext]


def shared(make: Make) -> Make:
    """Stands for a library's function that makes contexts, `make`; of the same arguments."""

    @cache
    def usual(*chosen: str | None) -> ssl.SSLContext:
        """What the library trusts when nothing was said, while the variables have these values."""
        return make(trust_env=any(chosen))

    def context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is True and cert is None:
            return usual(*(os.environ.get(name) if trust_env else None for name in _CHOSEN))
        return make(verify=verify, cert=cert, trust_env=trust_env)

    return context


def read_once() -> None:
    """Have the clients of this process share it."""
    default.create_ssl_context = shared(httpx.create_ssl_context)  # type: ignore[attr-defined]
    default2.create_ssl_context = shared(httpx2.create_ssl_context)  # type: ignore[attr-defined]
