"""Reads the statistics of offers from Redis, and keeps a process's copy of them fresh, on a thread of its own."""

import logging
import threading
from collections.abc import Mapping
from typing import Any, Final

import redis

from shared import clock, outages, redis_clients
from shared.providers import statistics
from shared.providers.statistics import SUMS, OfferStatistics, of_document

log = logging.getLogger(__name__)

#: Between two readings, and how long Redis may take, in seconds.
REFRESH_SECONDS: Final = 3.0
DEADLINE_SECONDS: Final = 1.0
#: While Redis is away, what was read last is believed for so long, in seconds.
BELIEVED_SECONDS: Final = 60.0


def read_all(connection: Any) -> Mapping[str, OfferStatistics]:
    """What is known of every offer, by name. `connection`: a synchronous client; raises RedisError when it is away."""
    pipeline = connection.pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(SUMS)
    (seconds, micros), documents = pipeline.execute()
    now = seconds + micros / clock.MICROS
    found = ((name.decode(errors="replace"), of_document(one, now)) for name, one in documents.items())
    return {name: one for name, one in sorted(found) if one is not None}


class StatisticsWatch:
    """Keeps `statistics.snapshot` fresh from `start` to `stop`; one a process."""

    def __init__(self, url: str) -> None:
        self._place = outages.place(url)
        self._redis = redis_clients.connect_sync(url, DEADLINE_SECONDS)
        self._over = threading.Event()
        self._read_at = clock.monotonic()
        self._thread = threading.Thread(target=self._run, name="statistics", daemon=True)

    def start(self) -> "StatisticsWatch":
        """Begin; the first reading is made at once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Read no more; does not wait for a reading that is under way."""
        self._over.set()

    def refresh(self) -> None:
        """Read once; when Redis is away, keep what is known while it may be believed."""
        try:
            found = read_all(self._redis)
        except (redis.RedisError, OSError) as error:
            log.warning("statistics of offers cannot be read (Redis at %s): %s", self._place, outages.why(error))
            if clock.monotonic() - self._read_at > BELIEVED_SECONDS:
                statistics.publish({})
            return
        self._read_at = clock.monotonic()
        statistics.publish(found)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self.refresh()
            except Exception as error:
                log.error("could not read the statistics of offers: %s", type(error).__name__)
            self._over.wait(REFRESH_SECONDS)
        self._redis.close()
