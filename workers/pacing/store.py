"""Where the states of all providers' paces are shared: Redis, by compare-and-set; without it each process is alone."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import redis

from shared import clock
from shared.providers.states import KEY, NAMES, ProviderState, dump, load
from shared.redis_pipe import RedisPipe

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Seconds after which a state that nobody uses is forgotten.
KEEP_SECONDS = 3600
#: How long Redis may take, and for how long one that did not answer is not asked again, in seconds.
DEADLINE_SECONDS = 1.0
AWAY_SECONDS = 2.0
#: Between two warnings that it is away, in seconds.
LOG_SECONDS = 30.0
#: Tries at one change while others change the same state.
TRIES = 10

#: KEYS: the state, the set of names. ARGV: the document as last seen, what it shall be, seconds to keep it, its name.
#: Answers whether it was changed, the document as it is now, and Redis's time.
_CHANGE = """
local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
for key, kind in pairs({[KEYS[1]] = 'string', [KEYS[2]] = 'set'}) do
  if redis.call('TYPE', key).ok ~= kind then redis.call('DEL', key) end
end
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then return {0, current, now} end
if ARGV[2] ~= '' then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
  redis.call('SADD', KEYS[2], ARGV[4])
end
return {1, current, now}
"""


class PaceStore:
    """The states that this process uses. A lost Redis costs shared knowledge, never a call."""

    def __init__(self, url: str) -> None:
        self._redis = RedisPipe(url, DEADLINE_SECONDS)
        self._change = self._redis.script(_CHANGE)
        self._documents: dict[str, bytes] = {}
        #: Redis's time less this process's monotonic clock, as last heard.
        self.ahead = clock.now_micros() / clock.MICROS - clock.monotonic()
        self._away_until = 0.0
        self._said = 0.0

    def now(self) -> float:
        """Redis's time as far as this process knows it, in seconds."""
        return clock.monotonic() + self.ahead

    async def close(self) -> None:
        """Hang up."""
        await self._redis.aclose()

    async def update(
        self, name: str, own: ProviderState, change: Callable[[ProviderState, float], T]
    ) -> tuple[ProviderState, T]:
        """Apply a change to the shared state, or to this process's `own` where there is none or Redis is away.

        Returns the state as it is then, and what the change returned. `change` gets the state and the time, may be
        called several times, and must change nothing else.
        """
        if clock.monotonic() < self._away_until:
            return own, change(own, self.now())
        try:
            return await self._compare_and_set(name, own, change)
        except (redis.RedisError, OSError, TimeoutError) as error:
            self._away_until = clock.monotonic() + AWAY_SECONDS
            if self._away_until > self._said + LOG_SECONDS:
                self._said = self._away_until
                log.warning(
                    "Redis is unavailable: this worker adjusts provider rates on its own for now (%s)",
                    type(error).__name__,
                )
            return own, change(own, self.now())

    async def _compare_and_set(
        self, name: str, own: ProviderState, change: Callable[[ProviderState, float], T]
    ) -> tuple[ProviderState, T]:
        seen = self._documents.get(name)
        if seen is None:
            seen = await self._read(name)
        for _ in range(TRIES):
            state = load(seen) or load(dump(own)) or ProviderState()
            result = change(state, self.now())
            made = dump(state)
            done, current = await self._write(name, seen, made)
            if done:
                self._documents[name] = made
                return state, result
            seen = self._documents[name] = current
        return state, result  # many change it at once: ours is sent again with the next report

    async def _read(self, name: str) -> bytes:
        _, current = await self._write(name, b"", b"")
        return current

    async def _write(self, name: str, seen: bytes, made: bytes) -> tuple[bool, bytes]:
        before = clock.monotonic()
        answer: Any = await self._change(keys=[KEY.format(name), NAMES], args=[seen, made, KEEP_SECONDS, name])
        done, current, now = answer
        self.ahead = float(now) - (before + clock.monotonic()) / 2
        return bool(done), bytes(current)
