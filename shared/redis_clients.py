"""Connections to Redis as the processes keep them: each call has a deadline, and none is retried unseen."""

import redis
from redis import asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect(url: str, seconds: float, *, connect_seconds: float | None = None) -> asyncio.Redis:
    """A client whose every call may take so many seconds, connecting as many or those given; the caller closes it."""
    return asyncio.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds if connect_seconds is None else connect_seconds,
        socket_keepalive=True,
        retry=AsyncRetry(NoBackoff(), 0),
    )


def connect_sync(url: str, seconds: float, *, connect_seconds: float | None = None) -> redis.Redis:
    """The same for code that runs on threads."""
    return redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds if connect_seconds is None else connect_seconds,
        retry=Retry(NoBackoff(), 0),
    )
