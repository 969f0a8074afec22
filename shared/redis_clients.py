"""Connections to Redis as the processes keep them: each call has a deadline, and none is retried unseen.

A `rediss://` server's certificate is verified, by the system's authorities and those of FUSIONAI_CA_FILE; parameters of
the URL (`ssl_ca_certs`, `ssl_cert_reqs`, …) win.
"""

import ssl
from typing import Any

import redis
from redis import asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import authorities


def connect(url: str, seconds: float, *, connect_seconds: float | None = None) -> asyncio.Redis:
    """A client whose every call may take so many seconds, connecting as many or those given; the caller closes it.

    Of RESP 2: of RESP 3 a managed Redis makes use to send what nobody has asked for.
    """
    return asyncio.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds if connect_seconds is None else connect_seconds,
        socket_keepalive=True,
        retry=AsyncRetry(NoBackoff(), 0),
        protocol=2,
        **tls(url),
    )


def connect_sync(url: str, seconds: float, *, connect_seconds: float | None = None) -> redis.Redis:
    """The same for code that runs on threads."""
    return redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds if connect_seconds is None else connect_seconds,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        **tls(url),
    )


def tls(url: str) -> dict[str, Any]:
    """How the certificate of a Redis at `rediss://` is judged, in redis-py's words; of any other URL nothing."""
    if not url.startswith("rediss://"):
        return {}
    given: dict[str, Any] = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    if more := authorities.more():
        # As `authorities.trust` does.
        given |= {"ssl_ca_data": more.decode(), "ssl_exclude_verify_flags": [ssl.VERIFY_X509_STRICT]}
    return given
