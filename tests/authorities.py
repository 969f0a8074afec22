"""Reads the list of certificate authorities once: it costs each httpx client 20 ms of a core, and tests make thousands.

Only clients that were told nothing about it share what was read. A client with a context of its own, as the product's
have, keeps that.
"""

import os
import ssl
from functools import cache
from typing import Any

import httpx
from httpx._transports import default

#: Where httpx looks for another list, unless it is not to trust the environment.
_CHOSEN = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def shared(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    """Stands for httpx's function of the same arguments."""
    if verify is True and cert is None:
        return _usual(*(os.environ.get(name) if trust_env else None for name in _CHOSEN))
    return httpx.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)


@cache
def _usual(*chosen: str | None) -> ssl.SSLContext:
    """What httpx trusts when nothing was said, while the variables have these values."""
    return httpx.create_ssl_context(trust_env=any(chosen))


def read_once() -> None:
    """Have the clients of this process share it."""
    default.create_ssl_context = shared  # type: ignore[attr-defined]
