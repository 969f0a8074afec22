"""Notifications by Redis pub/sub. They may be lost, so receivers check the rows as well."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from redis import RedisError

from shared import outages, redis_clients
from shared.redis_pipe import RedisPipe
from shared.stopping import stop

log = logging.getLogger(__name__)

#: Jobs that have just ended.
DONE = "fusionai.done"
#: Running jobs that somebody wants cancelled.
CANCEL = "fusionai.cancel"

#: Seconds between two attempts to subscribe again.
RECONNECT_SECONDS = 0.5
#: How long Redis may take for an answer, and to be connected to, in seconds.
SECONDS, CONNECT_SECONDS = 5.0, 2.0


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
        self._url = url
        self._place = outages.place(url)
        self._redis = RedisPipe(url, SECONDS, connect_seconds=CONNECT_SECONDS)
        self._tasks: set[asyncio.Task[None]] = set()

    def publish(self, channel: str, told: Sequence[str] | Mapping[str, Any]) -> None:
        """Publish ids, or what is told of each, without waiting; a Redis that is away is not an error."""
        command = ("PUBLISH", channel, orjson.dumps(told))
        if self._redis.is_connected:
            self._redis.tell(*command)
            return
        task = asyncio.create_task(self._publish(command))
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

    async def _publish(self, command: Sequence[Any]) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._redis(*command)

    async def _listen(self, channel: str, heard: Callable[[Any], None], missed: Callable[[], None] | None) -> None:
        while True:
            subscription = RedisPipe(
                self._url,
                SECONDS,
                connect_seconds=CONNECT_SECONDS,
                heard=lambda message: heard(orjson.loads(message[2])),
            )
            try:
                await subscription("SUBSCRIBE", channel)
                if missed is not None:
                    missed()
                await subscription.lost()
            except Exception as error:  # whatever it is, listening goes on; the rows are asked for what was missed
                log.warning(
                    "lost the subscription to notifications on %s (Redis at %s): %s",
                    channel,
                    self._place,
                    outages.why(error),
                )
            finally:
                await subscription.aclose()
            await asyncio.sleep(RECONNECT_SECONDS)
