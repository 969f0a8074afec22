"""Counts what calls of each offer come to, and adds it to the statistics that all processes share in Redis.

A call costs an addition here; once a second all of them go to Redis together, in one round trip. What Redis does not
take is dropped: statistics are no evidence that is worth a queue.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final

import redis

from shared import clock
from shared.errors import ProviderError
from shared.providers.statistics import FIELDS, HALF_LIFE_SECONDS, KEEP_SECONDS, MOST_OFFERS, SEEN, SUMS
from shared.redis_pipe import RedisPipe
from shared.stopping import stop
from workers.upstream.faults import ACCOUNT, NOT_CONFIGURED, Kind, classify

log = logging.getLogger(__name__)

#: Between two round trips, and how long one may take, in seconds.
FLUSH_SECONDS: Final = 1.0
DEADLINE_SECONDS: Final = 1.0
#: Between two warnings that Redis is away, in seconds.
LOG_SECONDS: Final = 30.0

#: Kinds of fault that say that the offer does not serve. Of a request that is wrong anywhere, and of a pace that is too
#: fast, which `workers.pacing.law` is about, nothing is counted.
FAILURES: Final[frozenset[Kind]] = ACCOUNT | {"missing", "shape", "overload", "unreachable", "broken"}

#: KEYS: the hash of sums, the sorted set of names. ARGV: half-life, seconds to keep, offers to keep; then, for each
#: offer, its name and what is to be added to each of FIELDS. By Redis's own clock, so that no two are compared.
ADD: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local half_life, keep, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local fields = {FIELDS}
for index, kind in ipairs({'hash', 'zset'}) do
  local found = redis.call('TYPE', KEYS[index]).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', KEYS[1], KEYS[2]) end
end
local function number(value)
  value = tonumber(value) or 0
  if value >= 0 and value < 1e15 then return value end
  return 0
end
for at = 4, #ARGV, #fields + 1 do
  local name, made = ARGV[at], {at = now}
  local read, kept = pcall(cjson.decode, redis.call('HGET', KEYS[1], name) or '{}')
  if not read or type(kept) ~= 'table' then kept = {} end
  local weight = 0.5 ^ (math.max(now - number(kept.at), 0) / half_life)
  for index, field in ipairs(fields) do
    made[field] = number(kept[field]) * weight + number(ARGV[at + index])
  end
  redis.call('HSET', KEYS[1], name, cjson.encode(made))
  redis.call('ZADD', KEYS[2], now, name)
end
local old = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - keep)
for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, -(most + 1))) do old[#old + 1] = name end
for _, name in ipairs(old) do
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
end
redis.call('EXPIRE', KEYS[1], keep)
redis.call('EXPIRE', KEYS[2], keep)
""".replace("FIELDS", ", ".join(f"'{field}'" for field in FIELDS))


class Recorder:
    """The calls of one process; of its event loop. Begins with the first call; a lost Redis costs numbers alone."""

    def __init__(self, url: str) -> None:
        self._redis = RedisPipe(url, DEADLINE_SECONDS)
        self._add = self._redis.script(ADD)
        self._sums: dict[str, list[float]] = {}
        self._task: asyncio.Task[None] | None = None
        self._said = float("-inf")

    def answered(self, name: str, total_seconds: float | None, first_seconds: float | None = None) -> None:
        """A good answer, and how long it took, to its end and to its first content; None: not to be counted."""
        sums = self._of(name)
        sums[0] += 1
        if first_seconds is not None:
            sums[2] += 1
            sums[3] += first_seconds
        if total_seconds is not None:
            sums[4] += 1
            sums[5] += total_seconds

    def failed(self, name: str, error: ProviderError) -> None:
        """A call that failed, which counts if it was not the request's fault nor that of our pace."""
        if classify(error) in FAILURES and error.code != NOT_CONFIGURED:
            sums = self._of(name)
            sums[0] += 1
            sums[1] += 1

    async def flush(self) -> None:
        """Send what has been counted; what Redis does not take is dropped."""
        if not self._sums:
            return
        sums, self._sums = self._sums, {}
        added: list[str | float] = []
        for name, numbers in sums.items():
            added += [name, *numbers]
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._add(keys=[SUMS, SEEN], args=[HALF_LIFE_SECONDS, KEEP_SECONDS, MOST_OFFERS, *added])
        except (redis.RedisError, OSError) as error:
            if clock.monotonic() > self._said + LOG_SECONDS:
                self._said = clock.monotonic()
                log.warning("Redis is unavailable: statistics of providers are dropped (%s)", type(error).__name__)

    async def close(self) -> None:
        """Send what was counted last, and hang up."""
        if self._task is not None:
            await stop(self._task)
        with suppress(Exception):
            await self.flush()
        await self._redis.aclose()

    def _of(self, name: str) -> list[float]:
        if (sums := self._sums.get(name)) is None:
            sums = self._sums[name] = [0.0] * len(FIELDS)
            if self._task is None:
                self._task = asyncio.create_task(self._run())
        return sums

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except Exception as error:
                log.error("could not add to the statistics of providers: %s", type(error).__name__)
