"""Acceptance: idempotency row, hold and job rows of many concurrent requests in ONE transaction; then the doorbell."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from producer.admission import audited, cached_answers, idempotency
from producer.admission.cached_answers import CacheUse, Hit
from producer.admission.idempotency import Claim, Kept
from producer.admission.prepared import Accepted, PreparedJobs, shown
from producer.admission.waker import Waker
from shared import clock, crash, db, logs
from shared.broker.bell import Bell
from shared.db import Database
from shared.db.batcher import Batcher
from shared.db.models import job_payloads
from shared.db.models import jobs as jobs_table
from shared.db.on_the_spot import is_little
from shared.errors import IdempotencyMismatch, InsufficientCredits, Unavailable
from shared.jobs import credit_waits, first_leases
from shared.jobs.credit_waits import Lines
from shared.jobs.outcomes import TERMINAL
from shared.jobs.pauses import open_offer
from shared.key_holders import KeyHolder
from shared.money import key_budgets, shortage
from shared.money.key_budgets import Excess, KeySpend
from shared.money.ledger import Book
from shared.money.shortage import Funds, Need
from shared.queues import queue_name
from shared.submissions import likely_cost, quote
from shared.submissions import rows as intake
from shared.submissions.catalogue import catalogue
from shared.submissions.rows import Owner
from shared.submissions.schemas import Submission

log = logging.getLogger(__name__)

#: How often a group that lost a race for an idempotency key is written anew before it is taken apart.
RACES = 3
#: Jobs accepted in one transaction, unless a single request has more.
MOST = 500


@dataclass(slots=True)
class Acceptor:
    """Where submissions become durable jobs."""

    database: Database
    bell: Bell
    _batcher: Batcher[PreparedJobs, Accepted] = field(init=False)
    _waker: Waker = field(init=False)

    def __post_init__(self) -> None:
        self._batcher = Batcher(self._flush, most=MOST)
        self._waker = Waker(self.database, self.bell)

    async def accept(self, prepared: PreparedJobs) -> Accepted:
        """Accept a request's jobs with those sent at the same time; a 402 says what is lacking, and what would do."""
        prepared.entry = audited.current()
        try:
            return await self._batcher(prepared, weight=len(prepared.rows))
        except InsufficientCredits as short:
            raise await self._explained(prepared, short) from None

    async def _explained(self, prepared: PreparedJobs, short: InsufficientCredits) -> InsufficientCredits:
        """The same refusal, with how many jobs hold what is held; looked up when no lock is held any more."""
        if not short.held:
            return short
        try:
            jobs = await self.database.read(shortage.holding, prepared.holder.account_id)
        except Exception as error:
            log.warning("counting the jobs that hold credits failed: %s", logs.kind(error))
            return short
        return shortage.refusal(prepared.need, Funds(short.available, short.held, jobs))

    async def close(self) -> None:
        """Let what was accepted be woken."""
        await self._batcher.drain()
        await self._waker.close()

    def prepare(
        self,
        holder: KeyHolder,
        submissions: Sequence[Submission],
        *,
        listed: bool,
        claim: Claim | None,
        cache: CacheUse | None = None,
        quoting: bool = False,
        seen: bool = True,
    ) -> PreparedJobs:
        """Price submissions and make their rows, of which nothing is kept before `accept`. `cache`: of a single one.

        `quoting`: what they are likely to cost is to be known, too. `seen`: somebody sees them as they were accepted;
        one who waits for the answer alone does not.
        """
        owner = Owner(
            holder.account_id,
            holder.key_id,
            holder.test,
            lane="batch" if listed else "realtime",
            budget_at=clock.now_micros() if holder.limits.counted and not holder.test else None,
        )
        rows, payloads, need, caching, current = [], [], Need(), None, catalogue()
        for index, submission in enumerate(submissions):
            at = f"jobs[{index}]." if listed else ""
            made = quote.offers(
                submission, current, test=holder.test, at=at, account=holder.account_id, rules=holder.limits.rules
            )
            begins = 0 if made[0].course else open_offer(made, 0, self.bell.paused)
            queue = queue_name(made[begins].provider, owner.lane)
            wake = not listed and not self.bell.away and self.bell.has_room(queue)
            priced = intake.priced(submission, made)
            need.add(priced.bound_micros, priced.fixed, priced.slope)
            if quoting:
                likely_cost.add(need.likely, submission, made)
            caching = cached_answers.caching(holder, submission, made, current, cache) if cache else None
            row, payload = intake.rows(owner, priced, wake=wake)
            if begins:  # its first provider is paused by an operator
                row.update(queue=queue, offer=begins)
            rows.append(row)
            payloads.append(payload)
        response = shown(rows, payloads, listed=listed) if seen else ""
        prepared = PreparedJobs(holder, rows, payloads, response, claim, need, caching=caching, listed=listed)
        prepared.waits = not holder.test and all(submission.waits for submission in submissions)
        return prepared

    async def _flush(self, requests: Sequence[PreparedJobs]) -> Sequence[Accepted | Exception]:
        write = partial(self._write_and_ring, requests, asyncio.get_running_loop())
        sizes = [len(payload["request"]) for prepared in requests for payload in prepared.payloads]
        return await self.database.on_writer(write, little=is_little(len(sizes), sizes))

    def _write_and_ring(
        self, requests: Sequence[PreparedJobs], loop: asyncio.AbstractEventLoop
    ) -> Sequence[Accepted | Exception]:
        """Write, then ring on the same thread, the event loop's or a writer's, which saves a wait for the loop."""
        outcomes = self._write(requests)
        crash.point("accept.after_commit")
        wake: defaultdict[tuple[str, bool], list[str]] = defaultdict(list)
        for prepared, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, Accepted) and not (outcome.replayed or outcome.over or outcome.waits):
                for row in prepared.rows:
                    if row["woken_at"] is not None:
                        wake[row["queue"], first_leases.is_given(row)].append(row["id"])
        for (queue, first), ids in wake.items():
            self._waker.ring(loop, queue, ids, first=first)
        return outcomes

    def _write(self, requests: Sequence[PreparedJobs]) -> Sequence[Accepted | Exception]:
        """One transaction; again when another process has just stored one of the same idempotency keys."""
        for _ in range(RACES):
            try:
                return self.database.write_sync(accept, requests)
            except IntegrityError:
                continue
        return self.database.write_sync(accept, requests)


def accept(connection: Connection, requests: Sequence[PreparedJobs]) -> list[Accepted | Exception]:
    """Write what can be accepted of a group of requests, in their order; each gets its answer or its refusal."""
    known = idempotency.find(connection, [prepared.claim for prepared in requests if prepared.claim])
    there = _already(connection, [prepared.rows[0]["id"] for prepared in requests if prepared.tried])
    cached = cached_answers.find(connection, [prepared.caching for prepared in requests if prepared.caching])
    book = Book(connection, [prepared.holder.account_id for prepared in requests])
    lines = Lines(connection)
    spend = KeySpend(connection, filter(None, (key_budgets.counted(prepared.rows[0]) for prepared in requests)))
    before, sdk = dict(known), list[tuple[Claim, int, str]]()
    outcomes: list[Accepted | Exception] = []
    taken: list[PreparedJobs] = []
    for prepared in requests:
        claim = prepared.claim
        if (found := there.get(prepared.rows[0]["id"])) is not None:
            outcomes.append(_as_accepted(prepared, found))
        elif claim and claim.place in known and (again := _again(known[claim.place], claim)):
            outcomes.append(again)
            if taken_up := idempotency.taken_up(claim, known[claim.place]):
                sdk += taken_up
                known[claim.place] = replace(known[claim.place], fingerprint=idempotency.FIRST)
        elif prepared.answered:  # what it was answered has been forgotten this very moment
            outcomes.append(Unavailable("the earlier response is no longer kept; retry", retry_after_seconds=1))
        else:
            ready = _answered(book, prepared, cached) if cached else prepared
            if (waiting := _in_line(book, lines, spend, ready)) is not None:
                ready = waiting
                outcomes.append(Accepted(ready.response, waits=True))
            else:
                outcomes.append(_hold(book, spend, ready))
            if isinstance(outcomes[-1], Accepted):
                taken.append(ready)
                if claim:
                    known[claim.place] = Kept(202, ready.response, claim.fingerprint)
                    sdk.append((claim, 202, ready.response))
        prepared.tried = True
    _write(connection, taken)
    idempotency.keep_sdk(connection, sdk, before)
    spend.close()
    book.close()
    if any(prepared.caching for prepared in taken):
        _keep_cache(connection, taken)
    crash.point("accept.before_commit")
    return outcomes


def _again(known: Kept, claim: Claim) -> Accepted | Exception | None:
    """The earlier answer, where there is one for this claim, or that its key was used for something else."""
    try:
        kept = known.standing(claim)
    except IdempotencyMismatch as error:
        return error
    return Accepted(kept.response, kept.status_code, replayed=True) if kept else None


def _already(connection: Connection, first_ids: list[str]) -> dict[str, Any]:
    """The rows of those of earlier tries that did take effect after all."""
    if not first_ids:
        return {}
    columns = (jobs_table.c.id, jobs_table.c.status, jobs_table.c.wanted_micros)
    return {row.id: row for row in connection.execute(select(*columns).where(jobs_table.c.id.in_(first_ids)))}


def _as_accepted(prepared: PreparedJobs, found: Any) -> Accepted:
    """The answer to a request that took effect at an earlier try; `found`: the row of its first job as it is now."""
    waits = found.wanted_micros is not None
    response = prepared.waiting().response if waits else prepared.response
    return Accepted(response, over=found.status in TERMINAL, waits=waits)


def _answered(book: Book, prepared: PreparedJobs, cached: Mapping[tuple[str, str], Hit]) -> PreparedJobs:
    """The request as one that is answered from the cache, where it can be and its account has the fee for it."""
    caching = prepared.caching
    hit = cached.get(caching.place) if caching else None
    if hit is None or caching is None or not cached_answers.takes(caching, hit):
        return prepared
    if caching.offer.bound_micros > book.available(prepared.holder.account_id):
        return prepared
    row, payload = cached_answers.rows(caching, prepared.rows[0], prepared.payloads[0])
    return replace(prepared, rows=[row], payloads=[payload], hit=hit)


def _keep_cache(connection: Connection, taken: Sequence[PreparedJobs]) -> None:
    """End the jobs that the cache has answered; let the others of those that may be cached answer later ones."""
    asking = [(prepared.caching, prepared.hit, prepared.rows[0]["id"]) for prepared in taken if prepared.caching]
    cached_answers.settle(connection, [(id, caching, hit) for caching, hit, id in asking if hit])
    cached_answers.remember(connection, [(id, caching) for caching, hit, id in asking if not hit])


def _in_line(book: Book, lines: Lines, spend: KeySpend, prepared: PreparedJobs) -> PreparedJobs | None:
    """Jobs that may wait as ones that do, where credit lacks, or others wait before them; None: they need not, or the
    line is full. In the budgets of their key they count already.
    """
    account, more = prepared.holder.account_id, len(prepared.rows)
    if not prepared.waits or prepared.hit or _excess(spend, prepared):
        return None
    if book.afford(account, prepared.bound) and not lines.length(account):
        return None
    if lines.length(account) + more > credit_waits.MOST:
        prepared.need.waiting = lines.length(account)
        return None
    lines.join(account, more)
    if counted := key_budgets.counted(prepared.rows[0]):
        spend.hold(counted, prepared.bound)
    return prepared.waiting()


def _excess(spend: KeySpend, prepared: PreparedJobs) -> Excess | None:
    """The budget of its key that a request does not fit in."""
    counted = key_budgets.counted(prepared.rows[0])
    return spend.excess(counted, prepared.holder.limits.budgets, prepared.bound) if counted else None


def _hold(book: Book, spend: KeySpend, prepared: PreparedJobs) -> Accepted | Exception:
    account, counted = prepared.holder.account_id, key_budgets.counted(prepared.rows[0])
    if over := _excess(spend, prepared):
        return key_budgets.refusal(prepared.need, over)
    if not book.afford(account, prepared.bound):
        available, held = book.available(account), book.held(account)
        return shortage.refusal(prepared.need, Funds(available, held, None if held else 0))
    for row in prepared.rows:
        book.hold(account, ("job", row["id"]), row["bound_micros"])
    if counted:
        spend.hold(counted, prepared.bound)
    return Accepted(prepared.response, over=prepared.hit is not None)


def _write(connection: Connection, taken: Sequence[PreparedJobs]) -> None:
    db.insert_rows(connection, jobs_table, [row for prepared in taken for row in prepared.rows])
    db.insert_rows(connection, job_payloads, [payload for prepared in taken for payload in prepared.payloads])
    idempotency.keep(connection, [(prepared.claim, 202, prepared.response) for prepared in taken if prepared.claim])
    audited.write_all(connection, [(prepared.entry, prepared.rows[0]) for prepared in taken])
