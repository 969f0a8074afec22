"""Calls for one job until it went well, is given up, or is put off: pace, call, and what follows a failure."""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from shared.errors import ProviderError, StorageAway
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending, Requeue
from shared.jobs.pauses import BY_OPERATOR
from shared.queues import PROBATION, Lane
from shared.settings import settings
from shared.submissions import extras
from shared.submissions.catalogue import SANDBOX, catalogue
from shared.submissions.offers import Offer
from shared.submissions.steps.conducting import Step
from shared.submissions.steps.grounding import SEARCH
from workers.pacing import PATIENCE, Pace, Permit, Recorder, Wait
from workers.providers import ProviderAnswer, ProviderCall, Upstream
from workers.running import attempt_records as records
from workers.running import counting, job_rows, outcomes, paused, requeues, stepping, tiers, time_left
from workers.running.attempt_records import NO_ROOM
from workers.running.caller import Caller
from workers.running.fallback import choose
from workers.running.images import ImageKeeper, links
from workers.running.job_rows import Work
from workers.running.partial_answer import PartialAnswer
from workers.running.publisher import HeldSink, Publisher
from workers.running.retry import PAUSED, Defer, GiveUp, Retry, Situation, decide
from workers.running.sinks import CallSink, lifetime, streaming
from workers.upstream.faults import BAD_SIGNATURE, label

#: How long a call waits here for its turn while another offer is left (else PATIENCE), in seconds.
BRIEF_PATIENCE = 0.5
#: A wait up to this long keeps its slot; a longer one puts the job back with `run_at`.
IN_PLACE_SECONDS = 60.0
#: How long a job is put off whose provider an operator has paused; its queue then holds it, in seconds.
PAUSED_SECONDS = 1.0


@dataclass(slots=True)
class Attempts:
    """What is needed to call for jobs; one a process."""

    upstreams: Mapping[str, Upstream]
    pace: Pace
    publisher: Publisher | None = None
    image_keeper: ImageKeeper = field(default_factory=ImageKeeper)
    #: Counts what the calls of real keys come to; None: nobody does.
    statistics: Recorder | None = None
    #: The providers that an operator has paused.
    paused: Callable[[], Collection[str]] = frozenset
    caller: Caller = field(init=False)

    def __post_init__(self) -> None:
        self.caller = Caller(self.upstreams, self.image_keeper, self.statistics)

    async def run(self, job: Leased, attempts: list[dict[str, Any]], partial: PartialAnswer) -> Ending | Requeue:
        """What comes of a job here.

        `attempts` is what has been tried, `partial` what was sent on of its answer; both grow, and whoever cancels
        this still has them. UnreadableError: its rows are not understood here.
        """
        work = job_rows.work(job)
        job.forget()
        if work.walk is None:
            return await _Run(self, job, work, attempts, partial).until_decided()
        if not isinstance(work.walk.next, Step):  # another version has left it here
            return stepping.ended(job, work.walk, attempts)
        step = replace(job, type=work.walk.step.type, offer=job_rows.offer_of(job))
        return stepping.kept(await _Run(self, step, work, attempts, partial).until_decided())


@dataclass(slots=True)
class _Run:
    """One job's calls at the offer it stands at."""

    by: Attempts
    job: Leased
    work: Work
    attempts: list[dict[str, Any]]
    partial: PartialAnswer
    #: How many attempts the row has.
    before: int = field(init=False)

    def __post_init__(self) -> None:
        self.before = len(self.attempts)

    async def until_decided(self) -> Ending | Requeue:
        """Call until it went well or something else is decided.

        Thoughts that another model has signed, where they are refused and not passed over, are left out.
        """
        failures = self.job.failures
        while True:
            try:
                made = await self._in_tier(failures)
            except StorageAway:
                return requeues.until_kept(self.job, failures, self.attempts, before=self.before)
            if isinstance(made, Ending | Requeue):
                return made
            if isinstance(made, Wait):
                if aside := self._aside(made, failures):
                    return aside
                made = paused.failure(made)
            if made.code == BAD_SIGNATURE and extras.is_signed(self.request):
                self.work = replace(self.work, request=extras.unsigned(self.request))
                continue
            failures, error = failures + 1, made
            verdict = self._decided(error, failures)
            if isinstance(verdict, GiveUp):
                return self._elsewhere(verdict, error)
            if isinstance(verdict, Defer) or verdict.wait_seconds > IN_PLACE_SECONDS:
                return self._put_off(verdict.wait_seconds, label(error), failures)
            await asyncio.sleep(verdict.wait_seconds)

    async def _in_tier(self, failures: int) -> Ending | Requeue | ProviderError | Wait:
        """One attempt; in a cheap service tier one after the other while it serves none, to the usual tier's time."""
        while (usual := tiers.usual_offer(self.offers, self.job.offer)) is not None:
            if time_left.until_usual(self.job) <= 0:
                return requeues.to_offer(self.job, usual, self.offer.provider, self.lane, self.attempts)
            made = await self._once()
            if not isinstance(made, ProviderError) or not tiers.harmless(made, self.offer):
                return made
            wait = paused.seconds_for_room(self.job, self.attempts)
            if self.lane == "batch" or wait > IN_PLACE_SECONDS:
                return self._put_off(wait, NO_ROOM, failures)
            await asyncio.sleep(wait)
        return await self._once()

    async def _once(self) -> Ending | Requeue | ProviderError | Wait:
        """One attempt. Of an answer that somebody has read a part of there is no other: that is the end."""
        if self.lane == "batch" and (self.job.batch_id or not self.request.get("stream")):
            # Nobody would read a stream of it. What follows is 5 % of the CPU of a line.
            return await self._paced(None)
        with self._sink() as sink:
            if (seconds := lifetime(self.job, sink)) is None:
                made = await self._paced(sink)
            else:
                try:
                    async with asyncio.timeout(seconds) as life:
                        made = await self._paced(sink)
                except TimeoutError:
                    if not life.expired():
                        raise  # some other limit, which says nothing of the job's time
                    return outcomes.cut_short(self.job, "expired", self.attempts, self.partial)
            if isinstance(made, ProviderError) and sink is not None and sink.began:
                return outcomes.broken_off(self.job, made, self.attempts, self.partial)
            if isinstance(made, Ending) and isinstance(sink, HeldSink):
                sink.release()
            if isinstance(made, Ending) and sink is not None and sink.began:
                return replace(made, relayed=True, awaited=False)
            return made

    def _aside(self, wait: Wait, failures: int) -> Ending | Requeue | None:
        """What follows when the provider is not to be called now; None: the same as after a failed attempt."""
        another_left = self._following(None) is not None
        if paused.turns(wait, self.lane, another_left=another_left):
            return self._elsewhere(GiveUp(PAUSED, elsewhere=True), paused.failure(wait))
        seconds = paused.seconds_put_off(wait, another_left=another_left)
        return self._put_off(seconds, wait.reason, failures) if self.lane == "batch" else None

    def _decided(self, error: ProviderError, failures: int) -> Retry | Defer | GiveUp:
        another_left = self._following(error) is not None
        at = Situation(self.lane, failures, self._begun(), another_left, time_left.of_caller(self.job))
        return decide(error, at, base_seconds=settings().retry_base_seconds, jitter=random.random())

    @property
    def lane(self) -> Lane:
        return "batch" if self.job.lane == "batch" else "realtime"

    @property
    def request(self) -> dict[str, Any]:
        return self.work.request

    @property
    def offers(self) -> Sequence[Offer]:
        return self.work.offers

    @property
    def offer(self) -> Offer:
        return self.offers[self.job.offer]

    async def _paced(self, sink: CallSink | None) -> Ending | Requeue | ProviderError | Wait:
        """One attempt, when its turn has come; StorageAway when what it would come to could not be kept."""
        if self.job.type == "image" and self._keeps() and not await self.by.image_keeper.ready():
            raise StorageAway
        if self._is_paused():
            return self._put_off(PAUSED_SECONDS, BY_OPERATOR, self.job.failures)
        if self.offer.provider in (SANDBOX, SEARCH):
            return await self._attempt(sink, None)
        permit = await self._turn()
        if isinstance(permit, Wait):
            another_left = self._following(None) is not None
            if seconds := paused.seconds_in_slot(permit, self.lane, another_left=another_left):
                await asyncio.sleep(seconds)
                permit = await self._turn()
        if isinstance(permit, Wait):
            return permit
        return await self._attempt(sink, permit)

    def _is_paused(self) -> bool:
        """Whether an operator has paused the provider meanwhile, so that a retry waits for its end; the first call of a
        leased job is made. Jobs in probation are leased whoever is paused, since they share a queue.
        """
        again = len(self.attempts) > self.before or self.job.queue == PROBATION
        return again and self.offer.provider in self.by.paused()

    async def _turn(self) -> Permit | Wait:
        """Leave to call; who has another offer left waits but a moment for it."""
        patience = PATIENCE if self.lane == "batch" or self._following(None) is None else BRIEF_PATIENCE
        left = time_left.of_caller(self.job)
        patience = patience if left is None else min(patience, left)
        provider = self.offer.provider
        return await self.by.pace.enter(
            provider, self.offer.upstream, self.lane, patience, failed_at=records.failed_at(self.attempts, provider)
        )

    async def _attempt(self, sink: CallSink | None, permit: Permit | None) -> Ending | Requeue | ProviderError:
        """One call, written down; the job's end when it went well."""
        record = records.begin(self.attempts, self.offer, self._step())
        self.before = min(self.before, len(self.attempts) - 1)
        try:
            answer = await self._call(sink, permit)
        except ProviderError as failure:
            error = _bare(failure)
        except StorageAway:
            record.update(status_code=200, error=requeues.STORAGE)
            raise
        else:
            records.answered(record, answer.status_code, answer.request_ids)
            if self.work.walk is not None:
                return stepping.answered(self.job, self.work.walk, self.offer, answer, self.attempts)
            return outcomes.succeeded(self.job, self.offers, self.offer, answer, self.attempts)
        finally:
            records.close(record)
        at = permit.gate.now() if permit is not None else None
        records.failed(record, error, at, no_room=tiers.harmless(error, self.offer))
        if permit is not None:
            counting.failed(self.by.statistics, self.offer, error)
        return error

    async def _call(self, sink: CallSink | None, permit: Permit | None) -> ProviderAnswer:
        limits = time_left.limits(self.job, self.offers, streamed=sink is not None, turns_soon=self._turns_soon())
        whole = self.partial.take_whole
        call = ProviderCall(self.job.id, self.job.type, self.request, self.offer, sink, limits, whole)
        return await self.by.caller.call(call, self.job, sink, permit)

    def _turns_soon(self) -> bool:
        """Whether a silent provider is soon given up for another offer; one of a cheap tier is not."""
        return self.lane == "realtime" and not tiers.bought_slow(self.offer) and self._following(None) is not None

    def _keeps(self) -> bool:
        """Whether the answer is to be put into storage."""
        return links(self.request)

    def _begun(self) -> int:
        """How many answers of this offer have begun and come to nothing, here or at other workers."""
        return records.begun(self.attempts, self.offer, self._step())

    def _step(self) -> str | None:
        return self.work.walk.step.name if self.work.walk is not None else None

    def _sink(self) -> AbstractContextManager[CallSink | None]:
        """Where the answer goes as it comes."""
        turns_soon = self._turns_soon()
        return streaming(self.by.publisher, self.job, self.work, self.offer, self.partial, turns_soon=turns_soon)

    def _following(self, error: ProviderError | None) -> int | None:
        """The offer that would be turned to."""
        windows = None
        if error is not None and error.code == "context_length_exceeded":
            models = catalogue().models
            windows = [models[offer.model].context if offer.model in models else 0 for offer in self.offers]
        return choose(self.offers, after=self.job.offer, windows=windows, paused=self.by.paused())

    def _put_off(self, wait_seconds: float, reason: str, failures: int) -> Requeue:
        tried = self.attempts if len(self.attempts) > self.before else None
        return requeues.for_later(self.job, wait_seconds, reason, failures, tried)

    def _elsewhere(self, verdict: GiveUp, error: ProviderError) -> Ending | Requeue:
        """Fall back to the next offer, on its own provider's queue; or the end."""
        following = self._following(error) if verdict.elsewhere else None
        if following is None:
            return outcomes.given_up(self.job, error, verdict, self.attempts)
        provider = self.offers[following].provider
        return requeues.to_offer(self.job, following, provider, self.lane, self.attempts)


def _bare(error: ProviderError) -> ProviderError:
    """The error without the frames that it came through: in them is all that was read of an answer, which they would
    keep for as long as nobody looks for cycles: hundreds of megabytes of a provider that sends too much.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
