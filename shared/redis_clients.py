"""Connections to Redis as the processes keep them: each call has a deadline, and none is retried unseen."""

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connect(url: str, seconds: float, *, connect_seconds: float | None = None) -> redis.Redis:
    """A client whose every call may take so many seconds, connecting as many or those given; the caller closes it."""
    return redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds if connect_seconds is None else connect_seconds,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
