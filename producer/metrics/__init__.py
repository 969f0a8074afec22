"""Metrics in Prometheus's text format, read from the rows, so that they are true over all processes.

A process collects at most once in FRESH_SECONDS and never twice at a time, each time in one read transaction.
"""

import asyncio
from typing import Final

from producer.metrics.exposition import render
from producer.metrics.readings import Reading, read, read_providers
from shared import clock, redis_clients
from shared.db import Database

__all__ = ["Metrics", "Reading", "read", "read_providers", "render"]

#: For how long an answer is given again, in seconds.
FRESH_SECONDS: Final = 1.0
#: How long Redis may take, in seconds.
REDIS_SECONDS: Final = 1.0
#: How long a request waits for a collection, in seconds.
PATIENCE_SECONDS: Final = 3.0


class Metrics:
    """One producer process's answers to /metrics; of its event loop."""

    def __init__(self, database: Database, redis_url: str) -> None:
        self._database = database
        self._redis = redis_clients.connect_sync(redis_url, REDIS_SECONDS)
        self._text = b""
        self._collected = float("-inf")
        self._collecting: asyncio.Task[None] | None = None

    async def text(self) -> bytes:
        """The exposition, a second old at most; TimeoutError or the database's own error when there is none to have."""
        if clock.monotonic() - self._collected >= FRESH_SECONDS:
            task = self._collecting = self._collecting or self._start()
            done, _ = await asyncio.wait([task], timeout=PATIENCE_SECONDS)
            if not done:
                raise TimeoutError("the database is unavailable")
            task.result()
        return self._text

    def _start(self) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._collect())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, when nobody waits any more
        return task

    async def _collect(self) -> None:
        try:
            reading, providers = await asyncio.gather(
                self._database.read(read), asyncio.to_thread(read_providers, self._redis)
            )
            paused = {**reading.gauges["provider_paused"], **providers["provider_paused"]}
            gauges = {**reading.gauges, **providers, "provider_paused": paused}
            self._text = await asyncio.to_thread(render, Reading(gauges, reading.counters))
            self._collected = clock.monotonic()
        finally:
            self._collecting = None
