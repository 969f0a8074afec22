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

_CHOSEN = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@cache
def usual() -> ssl.SSLContext:
    """What httpx trusts when nobody says anything."""
    return httpx.create_ssl_context()


def shared(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    """Stands for httpx's function of the same arguments."""
    if verify is True and cert is None and not (trust_env and any(map(os.environ.get, _CHOSEN))):
        return usual()
    return httpx.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)


def read_once() -> None:
    """Have the clients of this process share it."""
    default.create_ssl_context = shared  # type: ignore[attr-defined]
