"""Requests a minute, exact over all producer processes: a sliding log in Redis; without Redis, this process's own.

Counted are the POSTs that make jobs, one each, whatever they contain and whatever becomes of them. A replay of an
Idempotency-Key counts as well, as with Stripe and OpenAI: the limit comes first, and a 429 is stored under no key.

While Redis does not answer nobody waits for it: each process admits its share, the limit divided by the processes last
seen, from what it remembers of the last minute; when Redis is back it is told what was admitted without it.
"""

import asyncio
import contextlib
import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from producer.admission.limits import script
from producer.admission.limits.local import OwnLog
from shared import clock
from shared.accounts import KeyHolder
from shared.batcher import Batcher
from shared.errors import RateLimited
from shared.stopping import stop

log = logging.getLogger(__name__)

#: The window that a limit is for, in seconds.
WINDOW_SECONDS = 60.0
#: Admissions are remembered by so many steps a window (20 ms each), which bounds an account's log.
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
#: Accounts that are told of in one round trip.
PAID_AT_ONCE = 500
#: Accounts remembered; when there are more, those are forgotten that have sent nothing for a window.
REMEMBERED = 10_000

#: An account, and its requests a minute.
Ask: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the limit says to one request; seconds until nothing counts, and, if refused, until there is room."""

    limit: int
    remaining: int
    reset_seconds: float
    retry_seconds: float | None = None

    def check(self, what: str = "requests") -> None:
        """429 when the request was refused; `what` is counted."""
        if self.retry_seconds is not None:
            seconds = max(1, math.ceil(self.retry_seconds))
            raise RateLimited(
                f"rate limit exceeded: {self.limit:,} {what} per minute; retry in {seconds} s",
                retry_after_seconds=seconds,
            )


@dataclass(frozen=True, slots=True)
class Ruling:
    """How many of a group were admitted, how many counted before; seconds until there is room, until nothing counts."""

    admitted: int
    before: int
    room_seconds: float
    reset_seconds: float

    def allowance(self, limit: int, place: int) -> Allowance:
        """What is told to the request at this place of the group."""
        if place < self.admitted:
            return Allowance(limit, max(0, limit - self.before - place - 1), self.reset_seconds)
        return Allowance(limit, 0, self.reset_seconds, self.room_seconds)


class Limits:
    """This process's end of the limits; made in the event loop that serves."""

    def __init__(self, redis_url: str, *, window_seconds: float = WINDOW_SECONDS) -> None:
        self._step = window_seconds / STEPS
        self._counted = window_seconds * (1 + SLACK)
        self._redis = redis.from_url(
            redis_url,
            socket_timeout=2,
            socket_connect_timeout=2,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._admit = self._redis.register_script(script.ADMIT)
        self._greet = self._redis.register_script(script.GREET)
        self._name = clock.new_id("web")
        self._own: defaultdict[str, OwnLog] = defaultdict(self._log)
        self._batcher: Batcher[Ask, Allowance] = Batcher(self._judge, most=1000)
        self._processes = 1
        self._up, self._heard = True, False
        self._careful_until = 0.0
        self._fell = asyncio.Event()
        self._beating = asyncio.create_task(self._beat())

    async def take(self, holder: KeyHolder) -> Allowance | None:
        """Count one request of an account; None when it has no limit. `check` what comes back."""
        limit = holder.requests_per_minute
        return None if limit is None else await self.admit(holder.account_id, limit)

    async def admit(self, name: str, limit: int) -> Allowance:
        """Count one of whatever has this name: so many in a minute, by all processes together."""
        own = self._own.get(name)
        if own is not None and (refused := own.refusal(limit, clock.monotonic())) is not None:
            return Allowance(limit, 0, *refused)
        return await self._batcher((name, limit))

    async def close(self) -> None:
        """Leave, so that the others' shares grow, and hang up."""
        await stop(self._beating)
        if self._up:
            await self._ask(self._greet([script.PROCESSES], [self._name, 0]))
        await self._redis.aclose()

    async def _judge(self, asks: Sequence[Ask]) -> Sequence[Allowance]:
        """Allowances for the requests that have gathered, at one round trip."""
        groups: defaultdict[Ask, int] = defaultdict(int)
        places = []
        for ask in asks:
            places.append(groups[ask])
            groups[ask] += 1
        rulings = await self._rule(groups)
        return [rulings[ask].allowance(ask[1], place) for ask, place in zip(asks, places, strict=True)]

    async def _rule(self, groups: dict[Ask, int]) -> dict[Ask, Ruling]:
        now = clock.monotonic()
        self._forget(groups, now)
        answers = await self._told(groups) if self._up else None
        if answers is None:
            return {ask: self._rule_alone(ask, number) for ask, number in groups.items()}
        return {
            ask: self._note(ask, number, Ruling(admitted, before, room / 1e6, reset / 1e6), now)
            for (ask, number), (admitted, before, room, reset) in zip(groups.items(), answers, strict=True)
        }

    async def _told(self, groups: dict[Ask, int]) -> list[list[int]] | None:
        """What Redis says of so many requests of each, having been told what it is owed; None when it is away."""
        owed = [self._own[account].take_owed() for account, _ in groups]
        answers: list[list[int]] | None = await self._ask(self._asked(groups, owed))
        if answers is None:
            for (account, _), debt in zip(groups, owed, strict=True):
                self._own[account].owed += debt
        return answers

    def _asked(self, groups: dict[Ask, int], owed: Sequence[int]) -> Any:
        """The script's run. What this process remembers counts even if Redis has lost it."""
        arguments = [round(self._counted * 1e6), max(1, round(self._step * 1e6))]
        for ((account, limit), number), debt in zip(groups.items(), owed, strict=True):
            most = self._share(limit) if clock.monotonic() < self._careful_until else limit
            room = max(0, most - self._own[account].count)
            arguments += [limit, min(number, room), debt]
        return self._admit([script.KEY.format(account) for account, _ in groups], arguments)

    def _note(self, ask: Ask, number: int, ruling: Ruling, asked_at: float) -> Ruling:
        """Remember what Redis said; nobody asks it again before there can be room."""
        own, now = self._own[ask[0]], clock.monotonic()
        own.add(ruling.admitted, now)
        if ruling.admitted == number:
            own.reset_at = now + ruling.reset_seconds
            return ruling
        room = max(asked_at + ruling.room_seconds, own.room_at(ask[1], now))
        own.fill(ask[1], room, max(room, now + ruling.reset_seconds))
        return Ruling(ruling.admitted, ruling.before, room - now, own.reset_at - now)

    def _rule_alone(self, ask: Ask, number: int) -> Ruling:
        """A ruling from memory: this process's share of the limit."""
        own, now = self._own[ask[0]], clock.monotonic()
        share = self._share(ask[1])
        before = own.count
        admitted = max(0, min(number, share - before))
        own.add(admitted, now)
        own.owed += admitted
        own.reset_at = own.free_at(now)
        return Ruling(admitted, ask[1] - share + before, own.room_at(share, now) - now, own.reset_at - now)

    def _log(self) -> OwnLog:
        return OwnLog(self._step, self._counted)

    def _forget(self, groups: dict[Ask, int], now: float) -> None:
        """Drop what has left the window, and, when there are many, accounts of which nothing counts."""
        for account, _ in groups:
            self._own[account].forget(now)
        if len(self._own) > REMEMBERED:
            asking = {account for account, _ in groups}
            for account in [one for one, own in self._own.items() if own.reset_at < now and one not in asking]:
                del self._own[account]

    async def _ask(self, asked: Any) -> Any:
        """Redis's answer; None when there is none in time: then it is away until it has been heard again."""
        task = asyncio.ensure_future(asked)
        try:
            for _ in range(PAUSES if self._heard else FIRST_PAUSES):
                if (await asyncio.wait([task], timeout=PAUSE_SECONDS))[0]:
                    answer = task.result()
                    self._heard = True
                    return answer
            self._lose("no answer")
        except (redis.RedisError, OSError) as error:
            self._lose(type(error).__name__)
        finally:
            task.cancel()
        return None

    def _lose(self, why: str) -> None:
        if self._up:
            log.warning(
                "rate limits: Redis is unavailable (%s); this process allows 1/%d of each", why, self._processes
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
        """Tell a Redis that is back what was admitted without it; the others do the same within the next moment."""
        self._careful_until = clock.monotonic() + CAREFUL_SECONDS
        owing = [account for account, own in self._own.items() if own.owed]
        for at in range(0, len(owing), PAID_AT_ONCE):
            groups = {(account, 1): 0 for account in owing[at : at + PAID_AT_ONCE]}
            self._forget(groups, clock.monotonic())
            if await self._told(groups) is None:
                return False
        log.info("rate limits: Redis is available again")
        return True

    def _share(self, limit: int) -> int:
        """What this process may admit by itself."""
        return max(1, limit // self._processes)
