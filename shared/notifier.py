"""Notifications by Redis pub/sub. They may be lost, so receivers check the rows as well."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from redis import RedisError

from shared import outages, redis_clients
from shared.stopping import stop

log = logging.getLogger(__name__)

#: Jobs that have just ended.
DONE = "fusionai.done"
#: Running jobs that somebody wants cancelled.
CANCEL = "fusionai.cancel"

#: Seconds between two attempts to subscribe again.
RECONNECT_SECONDS = 0.5


def publish_now(url: str, channel: str, ids: Sequence[str]) -> None:
    """Publish from a process without an event loop; a Redis that is away is not an error."""
    with (
        contextlib.suppress(RedisError, OSError),
        redis_clients.connect_sync(url, 2) as connection,
    ):
        connection.publish(channel, orjson.dumps(list(ids)))


class Notifier:
    """This process's end of the pub/sub: publishes ids and what is told of them, and listens on one connection."""

    def __init__(self, url: str) -> None:
        self._place = outages.place(url)
        self._redis = redis_clients.connect(url, 5, connect_seconds=2)
        self._tasks: set[asyncio.Task[None]] = set()

    def publish(self, channel: str, told: Sequence[str] | Mapping[str, Any]) -> None:
        """Publish ids, or what is told of each, without waiting; a Redis that is away is not an error."""
        task = asyncio.create_task(self._publish(channel, told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def listen(self, channel: str, heard: Callable[[Any], None], missed: Callable[[], None] | None = None) -> None:
        """Call `heard` with what was published; `missed` after each (re)connect: some may be lost."""
        task = asyncio.create_task(self._listen(channel, heard, missed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop listening, and hang up."""
        await stop(*self._tasks)
        await self._redis.aclose()

    async def _publish(self, channel: str, told: Sequence[str] | Mapping[str, Any]) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._redis.publish(channel, orjson.dumps(told))

    async def _listen(self, channel: str, heard: Callable[[Any], None], missed: Callable[[], None] | None) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(channel)
                    if missed is not None:
                        missed()
                    while True:
                        message = await subscription.get_message(timeout=2.0)
                        if message is not None:
                            heard(orjson.loads(message["data"]))
            except Exception as error:  # whatever it is, listening goes on; the rows are asked for what was missed
                log.warning(
                    "lost the subscription to notifications on %s (Redis at %s): %s",
                    channel,
                    self._place,
                    outages.why(error),
                )
            await asyncio.sleep(RECONNECT_SECONDS)
