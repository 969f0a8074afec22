"""Rate limits, exact over all web processes: a sliding log in Redis; without Redis, each process applies its share.

Counted are the POSTs that make jobs, one each, whatever they contain and whatever becomes of them. A replay of an
Idempotency-Key counts as well, as with Stripe and OpenAI: the limit comes first, and a 429 is stored under no key.

While Redis does not answer, requests do not wait for it: each process admits its share, the limit divided by the
processes last seen, from what it remembers of the last window; when Redis is back, each reports what it admitted.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

import redis

from producer.admission.limits import script
from producer.admission.limits.allowances import Allowance, Ruling
from producer.admission.limits.local import OwnLog
from producer.admission.limits.rates import DIMENSIONS, Dimension, RateLimit
from shared import clock, outages
from shared.db.batcher import Batcher
from shared.key_holders import KeyHolder
from shared.redis_pipe import RedisPipe
from shared.settings import settings
from shared.stopping import stop

log = logging.getLogger(__name__)

#: Admissions are remembered by so many steps a window (20 ms each of a minute), which bounds a log.
STEPS = 3000
#: The part of a window by which it is counted longer: a caller's clock sees some answers later than others.
SLACK = 1 / 300
#: A round trip is given up after so many pauses of so many seconds: 200 ms, but a second until Redis was first heard.
#: Pauses, so that an event loop that was itself held up does not take that for Redis's silence.
PAUSES, FIRST_PAUSES, PAUSE_SECONDS = 4, 20, 0.05
#: How often a Redis that is away is tried, and how often one that is there hears that this process lives, in seconds.
TRY_SECONDS, BEAT_SECONDS = 0.5, 10.0
#: For how long after it is back a process still keeps to its share: until all have told what they admitted alone.
CAREFUL_SECONDS = 1.0
#: Logs that are reported in one round trip.
PAID_AT_ONCE = 500
#: Logs remembered; when there are more, those are forgotten of which nothing counts.
REMEMBERED = 10_000

#: What is asked for: a rate, and how much of it one request takes, whole or not at all.
Ask: TypeAlias = tuple[RateLimit, int]
#: Whose admissions a log holds: its key and window.
LogName: TypeAlias = tuple[str, float]


class Limits:
    """This process's end of the limits; made in the event loop that serves."""

    def __init__(self, redis_url: str, *, dimensions: Sequence[Dimension] = DIMENSIONS) -> None:
        self._dimensions = dimensions
        self._redis = RedisPipe(redis_url, 2)
        self._admit = self._redis.script(script.ADMIT)
        self._greet = self._redis.script(script.GREET)
        self._name = clock.new_id("web")
        self._own: dict[LogName, OwnLog] = {}
        self._batcher: Batcher[Ask, Allowance] = Batcher(self._judge, most=1000)
        self._processes = 1
        self._up, self._heard = True, False
        self._careful_until = 0.0
        self._fell = asyncio.Event()
        self._beating = asyncio.create_task(self._beat())

    async def take(self, holder: KeyHolder, more: Sequence[Dimension] = ()) -> Allowance | None:
        """Count one request in every dimension, and in `more`: the first refusal, else what leaves the least.

        None: it has no limit. `check` what comes back.
        """
        allowances = []
        for rate in filter(None, (dimension.of(holder) for dimension in (*self._dimensions, *more))):
            allowances.append(await self.admit(rate))
            if allowances[-1].retry_seconds is not None:
                return allowances[-1]
        return min(allowances, key=lambda one: one.remaining / one.limit, default=None)

    async def admit(self, rate: RateLimit, cost: int = 1) -> Allowance:
        """Count so much under a rate's key, whole or not at all: by all processes together."""
        own = self._own.get(_log_of(rate))
        if own is not None and (refused := own.refusal(_full(rate, cost), clock.monotonic())) is not None:
            return Allowance(rate.limit, 0, *refused, rate.window)
        return await self._batcher((rate, cost))

    async def close(self) -> None:
        """Leave, so that the others' shares grow, and hang up."""
        await stop(self._beating)
        if self._up:
            await self._ask(self._greet([script.PROCESSES], [self._name, 0]))
        await self._redis.aclose()

    async def _judge(self, asks: Sequence[Ask]) -> Sequence[Allowance]:
        """Allowances for the requests that have gathered, at one round trip a window."""
        windows: defaultdict[float, defaultdict[Ask, int]] = defaultdict(lambda: defaultdict(int))
        places = []
        for rate, cost in asks:
            groups = windows[rate.window_seconds]
            places.append(groups[rate, cost])
            groups[rate, cost] += cost
        rulings: dict[Ask, Ruling] = {}
        for groups in windows.values():
            rulings |= await self._rule(groups)
        return [rulings[ask].allowance(ask[0], place, ask[1]) for ask, place in zip(asks, places, strict=True)]

    async def _rule(self, groups: dict[Ask, int]) -> dict[Ask, Ruling]:
        """Rulings on so much of each; all are of one window."""
        now = clock.monotonic()
        self._forget(groups, now)
        answers = await self._answers_of_redis(groups) if self._up else None
        if answers is None:
            return {ask: self._rule_alone(ask, number) for ask, number in groups.items()}
        return {
            ask: self._note(ask, number, Ruling(admitted, before, room / 1e6, reset / 1e6), now)
            for (ask, number), (admitted, before, room, reset) in zip(groups.items(), answers, strict=True)
        }

    async def _answers_of_redis(self, groups: dict[Ask, int]) -> list[list[int]] | None:
        """Redis's answers for so much of each, asked with what is owed to it; None when it is away."""
        owed = [self._log(rate).take_owed() for rate, _ in groups]
        answers: list[list[int]] | None = await self._ask(self._asked(groups, owed))
        if answers is None:
            for (rate, _), debt in zip(groups, owed, strict=True):
                self._log(rate).owed += debt
        return answers

    def _asked(self, groups: dict[Ask, int], owed: Sequence[int]) -> Any:
        """The script's run. What this process remembers counts even if Redis has lost it."""
        step, counted = _times(next(iter(groups))[0].window_seconds)
        arguments = [round(counted * 1e6), max(1, round(step * 1e6))]
        for ((rate, cost), number), debt in zip(groups.items(), owed, strict=True):
            most = self._share(rate.limit) if clock.monotonic() < self._careful_until else rate.limit
            room = max(0, most - self._log(rate).count)
            arguments += [rate.limit, min(number, room), debt, cost]
        return self._admit([script.KEY.format(rate.key) for rate, _ in groups], arguments)

    def _note(self, ask: Ask, number: int, ruling: Ruling, asked_at: float) -> Ruling:
        """Remember what Redis said; it is not asked again before there can be room."""
        own, now, full = self._log(ask[0]), clock.monotonic(), _full(*ask)
        own.add(ruling.admitted, now)
        if ruling.admitted == number:
            own.reset_at = now + ruling.reset_seconds
            return ruling
        room = max(asked_at + ruling.room_seconds, own.room_at(full, now))
        own.fill(full, room, max(room, now + ruling.reset_seconds))
        return Ruling(ruling.admitted, ruling.before, room - now, own.reset_at - now)

    def _rule_alone(self, ask: Ask, number: int) -> Ruling:
        """A ruling from memory: this process's share of the limit."""
        (rate, cost), now = ask, clock.monotonic()
        own, share = self._log(rate), self._share(rate.limit)
        before = own.count
        admitted = max(0, min(number, share - before)) // cost * cost
        own.add(admitted, now)
        own.owed += admitted
        own.reset_at = own.free_at(now)
        room = own.room_at(share - cost + 1, now)
        return Ruling(admitted, rate.limit - share + before, room - now, own.reset_at - now)

    def _log(self, rate: RateLimit) -> OwnLog:
        """What this process remembers of a rate's admissions."""
        name = _log_of(rate)
        if (own := self._own.get(name)) is None:
            own = self._own[name] = OwnLog(*_times(rate.window_seconds))
        return own

    def _forget(self, groups: dict[Ask, int], now: float) -> None:
        """Drop what has left the window, and, when there are many, logs of which nothing counts."""
        for rate, _ in groups:
            self._log(rate).forget(now)
        if len(self._own) > REMEMBERED:
            asking = {_log_of(rate) for rate, _ in groups}
            for name in [one for one, own in self._own.items() if own.reset_at < now and one not in asking]:
                del self._own[name]

    async def _ask(self, asked: Any) -> Any:
        """Redis's answer; None when there is none in time: then it is away until it has been heard again."""
        task = asyncio.ensure_future(asked)
        try:
            for _ in range(PAUSES if self._heard else FIRST_PAUSES):
                if (await asyncio.wait([task], timeout=PAUSE_SECONDS))[0]:
                    answer = task.result()
                    self._heard = True
                    return answer
            self._redis.hang_up()  # so that the next try does not wait behind this one
            self._lose("no answer")
        except (redis.RedisError, OSError) as error:
            self._lose(outages.why(error))
        finally:
            task.cancel()
        return None

    def _lose(self, why: str) -> None:
        if self._up:
            log.warning(
                "rate limits: Redis at %s is unavailable (%s): until it is back this process admits 1/%d of each",
                outages.place(settings().redis_url),
                why,
                self._processes,
            )
        self._up = False
        self._fell.set()

    async def _beat(self) -> None:
        """Go on greeting: often while Redis is away, until it is back."""
        while True:
            if await self._greet_redis():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_SECONDS):
                        await self._fell.wait()
            if not self._up:
                await asyncio.sleep(TRY_SECONDS)

    async def _greet_redis(self) -> bool:
        """Say that this process lives and hear how many do."""
        gone_after = round(3 * BEAT_SECONDS)
        processes = await self._ask(self._greet([script.PROCESSES], [self._name, gone_after]))
        if processes is None:
            return False
        self._processes = max(1, int(processes))
        if not self._up and not await self._pay():
            return False
        self._up = True
        self._fell.clear()
        return True

    async def _pay(self) -> bool:
        """Report to a Redis that is back what was admitted without it; the others do so within the next moment."""
        self._careful_until = clock.monotonic() + CAREFUL_SECONDS
        owing: defaultdict[float, list[RateLimit]] = defaultdict(list)
        for (key, window), own in self._own.items():
            if own.owed:
                owing[window].append(RateLimit(key, 1, window))
        for rates in owing.values():
            for at in range(0, len(rates), PAID_AT_ONCE):
                groups = {(rate, 1): 0 for rate in rates[at : at + PAID_AT_ONCE]}
                self._forget(groups, clock.monotonic())
                if await self._answers_of_redis(groups) is None:
                    return False
        log.info("rate limits: Redis is available again")
        return True

    def _share(self, limit: int) -> int:
        """What this process may admit by itself."""
        return max(1, limit // self._processes)


def _log_of(rate: RateLimit) -> LogName:
    return rate.key, rate.window_seconds


def _times(window_seconds: float) -> tuple[float, float]:
    """The length of a log's step, and for how long an admission counts, in seconds."""
    return window_seconds / STEPS, window_seconds * (1 + SLACK)


def _full(rate: RateLimit, cost: int) -> int:
    """From how many on there is no room for so much more."""
    return rate.limit - cost + 1
