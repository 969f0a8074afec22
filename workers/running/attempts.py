"""Calls for one job until it went well, is given up, or is put off: pace, call, and what follows a failure."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from shared import clock, crash
from shared.errors import ProviderError, StorageAway
from shared.jobs.leases import Leased
from shared.jobs.outcomes import BEGAN, Ending, Requeue
from shared.providers.states import words
from shared.queues import LANES, PROBATION, Lane, queue_name
from shared.settings import settings
from shared.submissions.catalogue import SANDBOX, catalogue
from shared.submissions.schemas import REQUESTS, Offer, read_offer
from workers.pacing import PATIENCE, Pace, Permit, Wait
from workers.providers import Answer, Ask, Upstream, limits
from workers.running import outcomes
from workers.running.fallback import choose
from workers.running.images import Keeping, links
from workers.running.publisher import Held, Publisher, Sink, Unread
from workers.running.relayed import Relayed
from workers.running.retry import BARRED, PAUSED, Defer, GiveUp, Retry, Situation, decide
from workers.upstream.faults import NOT_CONFIGURED, label

#: The same while another offer is left.
BRIEF_PATIENCE = 0.5
#: How long a provider is down before a batch line turns to another offer without having called it.
LASTED_SECONDS = 60.0
#: A job that would wait beyond its deadline is tried again when this part of the time to it is over.
LAST_TRY = 0.9
#: Longer than any window.
MOST_SECONDS = 1e8
#: A wait up to this long keeps its slot; a longer one puts the job back with `run_at`.
IN_PLACE_SECONDS = 60.0
#: By so much a stream ends before its job's deadline, so that who has said the most of it ends the job.
EARLY_SECONDS = 2.0
#: Why a job waits whose pictures cannot be kept; the first pause, each twice as long as the one before, up to the last.
STORAGE = "storage"
STORAGE_SECONDS, STORAGE_MOST_SECONDS = 30.0, 900.0
#: Attempts that a job's row keeps: the first ones and the last ones.
MOST_FIRST, MOST_LAST = 10, 40


class UnreadableError(Exception):
    """Another version wrote this job, in a way that this one does not understand: it is for others to run."""


@dataclass(slots=True)
class Attempts:
    """What is needed to call for jobs; one a process."""

    upstreams: Mapping[str, Upstream]
    pace: Pace
    publisher: Publisher | None = None
    keeping: Keeping = field(default_factory=Keeping)

    async def run(self, job: Leased, attempts: list[dict[str, Any]], relayed: Relayed) -> Ending | Requeue:
        """What comes of a job here.

        `attempts` is what has been tried, `relayed` what was sent on of its answer; both grow, and whoever cancels
        this still has them. UnreadableError: its rows are not understood here.
        """
        return await _read(self, job, attempts, relayed).until_decided()


@dataclass(slots=True)
class _Run:
    """One job's calls at the offer it stands at."""

    by: Attempts
    job: Leased
    request: dict[str, Any]
    offers: Sequence[Offer]
    attempts: list[dict[str, Any]]
    relayed: Relayed
    #: How many attempts the row has.
    before: int = field(init=False)

    def __post_init__(self) -> None:
        self.before = len(self.attempts)

    async def until_decided(self) -> Ending | Requeue:
        """Call until it went well or something else is decided."""
        failures = self.job.failures
        while True:
            try:
                made = await self._once()
            except StorageAway:
                return self._until_kept(failures)
            if isinstance(made, Ending):
                return made
            if isinstance(made, Wait):
                if aside := self._aside(made, failures):
                    return aside
                made = _not_called(made)
            failures, error = failures + 1, made
            verdict = self._decided(error, failures)
            if isinstance(verdict, GiveUp):
                return self._elsewhere(verdict, error)
            if isinstance(verdict, Defer) or verdict.wait_seconds > IN_PLACE_SECONDS:
                return self._put_off(verdict.wait_seconds, label(error), failures)
            await asyncio.sleep(verdict.wait_seconds)

    async def _once(self) -> Ending | ProviderError | Wait:
        """One attempt. Of an answer that somebody has read a part of there is no other: that is the end."""
        with self._streaming() as sink:
            try:
                async with asyncio.timeout(self._lifetime(sink)) as life:
                    made = await self._paced(sink)
            except TimeoutError:
                if not life.expired():
                    raise  # some other limit, which says nothing of the job's time
                return outcomes.cut_short(self.job, "expired", self.attempts, self.relayed)
            if isinstance(made, ProviderError) and sink is not None and sink.began:
                return outcomes.broken_off(self.job, made, self.attempts, self.relayed)
            if isinstance(made, Ending) and isinstance(sink, Held):
                sink.release()
            if isinstance(made, Ending) and sink is not None and sink.began:
                return replace(made, relayed=True)
            return made

    def _aside(self, wait: Wait, failures: int) -> Ending | Requeue | None:
        """What follows when the provider is not to be called now; None: the same as after a failed attempt.

        A caller turns to another offer at once, a batch line when waiting is in vain or has lasted.
        """
        in_vain = wait.barred or wait.lasted > LASTED_SECONDS
        if (self.lane == "realtime" or in_vain) and self._following(None) is not None:
            return self._elsewhere(GiveUp(PAUSED, elsewhere=True), _not_called(wait))
        return self._put_off(wait.seconds, wait.reason, failures) if self.lane == "batch" else None

    def _decided(self, error: ProviderError, failures: int) -> Retry | Defer | GiveUp:
        another_left = self._following(error) is not None
        at = Situation(self.lane, failures, self._begun(), another_left, self._seconds_left())
        return decide(error, at, base_seconds=settings().retry_base_seconds, jitter=random.random())

    @property
    def lane(self) -> Lane:
        return "batch" if self.job.lane == "batch" else "realtime"

    @property
    def offer(self) -> Offer:
        return self.offers[self.job.offer]

    async def _paced(self, sink: Sink | Held | Unread | None) -> Ending | ProviderError | Wait:
        """One attempt, when its turn has come; StorageAway when what it would come to could not be kept."""
        if self._keeps() and not await self.by.keeping.ready():
            raise StorageAway
        if self.offer.provider == SANDBOX:
            return await self._attempt(sink, None)
        permit = await self._turn()
        if isinstance(permit, Wait) and permit.paused and self.lane == "realtime" and permit.seconds < PATIENCE:
            await asyncio.sleep(permit.seconds)
            permit = await self._turn()
        if isinstance(permit, Wait):
            return permit
        return await self._attempt(sink, permit)

    async def _turn(self) -> Permit | Wait:
        """Leave to call; who has another offer left waits but a moment for it."""
        patience = PATIENCE if self.lane == "batch" or self._following(None) is None else BRIEF_PATIENCE
        left = self._seconds_left()
        patience = patience if left is None else min(patience, left)
        first = not any(one.get("provider") == self.offer.provider for one in self.attempts)
        return await self.by.pace.enter(self.offer.provider, self.offer.upstream, self.lane, patience, first=first)

    async def _attempt(self, sink: Sink | Held | Unread | None, permit: Permit | None) -> Ending | ProviderError:
        """One call, written down; the job's end when it went well."""
        record: dict[str, Any] = {"provider": self.offer.provider, "model": self.offer.model}
        record["started_at"] = clock.now_seconds()
        del self.attempts[MOST_FIRST : -MOST_LAST + 1]
        self.attempts.append(record)
        self.before = min(self.before, len(self.attempts) - 1)
        try:
            answer = await self._call(sink, permit)
        except ProviderError as failure:
            error = failure
        except StorageAway:
            record.update(status_code=200, error=STORAGE)
            raise
        else:
            record.update(finished_at=clock.now_seconds(), status_code=answer.status_code, error=None)
            return outcomes.succeeded(self.job, self.offer, answer, self.attempts)
        finally:
            record.setdefault("finished_at", clock.now_seconds())
            record.setdefault("status_code", None)
            record.setdefault("error", "interrupted")
        record.update(status_code=error.upstream_status, error=error.code or error.message)
        if error.head:
            record[BEGAN] = True
        return error

    async def _call(self, sink: Sink | Held | Unread | None, permit: Permit | None) -> Answer:
        """The exchange itself, of which the pace is told."""
        another = self.lane == "realtime" and self._following(None) is not None
        ask = Ask(
            self.job.id,
            self.job.type,
            self.request,
            self.offer,
            sink,
            limits(streamed=sink is not None, another_left=another),
            self.relayed.take_whole,
        )
        try:
            crash.point("call.before")
            answer = await self._upstream().call(ask)
        except ProviderError as error:
            if permit is not None:
                permit.failed(error)
            raise
        except BaseException:
            if permit is not None:
                permit.dropped()
            raise
        if permit is not None:
            permit.answered(answer.limits, answer.usage.prompt_tokens + answer.usage.completion_tokens)
        if self.job.type == "image":
            await self.by.keeping.dress(ask, answer, of_batch=self.job.batch_id is not None)
        crash.point("call.after")
        return answer

    def _keeps(self) -> bool:
        """Whether the answer is to be put into storage."""
        return self.job.type == "image" and links(self.request)

    def _until_kept(self, failures: int) -> Requeue:
        """Back into the queue while storage is away: at once after the first answer that could not be kept, for then
        storage is asked before anybody is called; later for ever longer.
        """
        lost = sum(one.get("error") == STORAGE for one in self.attempts)
        if lost == 1 and len(self.attempts) > self.before:
            job = self.job
            return Requeue(job.id, job.epoch, job.queue, job.offer, failures, 0, self.attempts, wake=True)
        longer: float = STORAGE_SECONDS * 2 ** min(max(lost - 1, 0), 10)
        return self._put_off(min(longer, STORAGE_MOST_SECONDS), STORAGE, failures)

    def _begun(self) -> int:
        """How many answers of this offer have begun and come to nothing, here or at other workers."""
        own = (self.offer.provider, self.offer.model)
        return sum((one.get("provider"), one.get("model")) == own and BEGAN in one for one in self.attempts)

    def _upstream(self) -> Upstream:
        if upstream := self.by.upstreams.get(self.offer.provider):
            return upstream
        raise ProviderError(f"the provider {self.offer.provider} is not configured here", code=NOT_CONFIGURED)

    @contextmanager
    def _streaming(self) -> Iterator[Sink | Held | Unread | None]:
        """Where a job is streamed to while it is called for; a batch's lines have nobody who would read.

        A caller who wants the whole is served by a stream as well while another offer is left: it tells a provider
        that is silent, to be turned from soon, from one that has begun a long answer.
        """
        publisher, stream = self.by.publisher, self.request.get("stream")
        chat = self.job.type == "chat.completion" and not self.job.batch_id
        if publisher is None or not chat or not stream:
            another = chat and self.lane == "realtime" and self._following(None) is not None
            yield Unread() if another and self.offer.provider != SANDBOX else None
            return
        sink = publisher.open(self.job.id, self.job.epoch)
        self.relayed.begin(self.offer, self.request, sink.gathered)
        try:
            yield Held(sink) if self._holds() else sink
        finally:
            sink.end()

    def _lifetime(self, sink: Sink | Held | Unread | None) -> float | None:
        """How long a stream may go on: to just before its deadline, when others end the job; for the rest they do."""
        if sink is None or isinstance(sink, Unread):
            return None
        return max((self.job.expires_at - clock.now_micros()) / clock.MICROS - EARLY_SECONDS, 0.0)

    def _holds(self) -> bool:
        """Whether the stream is to begin only when the answer is whole."""
        return bool(self.job.routing and orjson.loads(self.job.routing).get("hold_stream"))

    def _seconds_left(self) -> float | None:
        """How long the caller still waits; None: nobody does, or not any more."""
        left = ((self.job.wait_until or 0) - clock.now_micros()) / clock.MICROS
        return left if left > 0 else None

    def _following(self, error: ProviderError | None) -> int | None:
        """The offer that would be turned to."""
        windows = None
        if error is not None and error.code == "context_length_exceeded":
            models = catalogue().models
            windows = [models[offer.model].context if offer.model in models else 0 for offer in self.offers]
        return choose(self.offers, after=self.job.offer, windows=windows)

    def _put_off(self, wait_seconds: float, reason: str, failures: int) -> Requeue:
        """Back into the queue until then, without a slot and without a message; tried once more before it expires."""
        job, now = self.job, clock.now_micros()
        latest = now + int(LAST_TRY * max(job.expires_at - now, 0))
        run_at = min(now + int(min(wait_seconds, MOST_SECONDS) * clock.MICROS), latest)
        tried = self.attempts if len(self.attempts) > self.before else None
        return Requeue(job.id, job.epoch, job.queue, job.offer, failures, run_at, tried, deferred_for=reason)

    def _elsewhere(self, verdict: GiveUp, error: ProviderError) -> Ending | Requeue:
        """Fall back to the next offer, on its own provider's queue; or the end."""
        following = self._following(error) if verdict.elsewhere else None
        if following is None:
            return outcomes.given_up(self.job, error, verdict, self.attempts)
        job = self.job
        if job.queue == PROBATION:
            return Requeue(job.id, job.epoch, PROBATION, following, 0, 0, self.attempts)
        queue = queue_name(self.offers[following].provider, self.lane)
        return Requeue(job.id, job.epoch, queue, following, 0, 0, self.attempts, wake=True)


def _read(by: Attempts, job: Leased, attempts: list[dict[str, Any]], relayed: Relayed) -> _Run:
    """A job from its rows, which any version may have written: fields that are not known here are passed over."""
    try:
        offers = [read_offer(row) for row in orjson.loads(job.offers)]
        request = orjson.loads(job.request)
        routing = orjson.loads(job.routing) if job.routing else {}
        known = job.type in REQUESTS and job.lane in LANES and 0 <= job.offer < len(offers)
        if not (known and isinstance(request, dict) and isinstance(routing, dict)):
            raise UnreadableError(job.type)
        return _Run(by, job, request, offers, attempts, relayed)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableError(type(error).__name__) from error


def _not_called(wait: Wait) -> ProviderError:
    """A provider that is not called just now, as if it had said so itself."""
    if wait.paused:
        said = f"calls of this provider are paused, since {words(wait.reason)}"
        return ProviderError(said, code=BARRED if wait.barred else PAUSED, retry_after_seconds=wait.seconds)
    said = "this provider is asked for more than it takes"
    return ProviderError(said, code="rate_limit_exceeded", retry_after_seconds=wait.seconds)
