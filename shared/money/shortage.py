"""Insufficient credit: what is needed, available and held, and what would fit; used by every API."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from sqlalchemy import Connection, func, select, text

from shared import clock
from shared.db import models as m
from shared.db.models.jobs import UNFINISHED
from shared.errors import InsufficientCredits
from shared.money import unspent
from shared.money.estimates import Likely
from shared.money.pricing import PER_TOKENS
from shared.objects.amounts import credits, credits_decimal
from shared.objects.shortages import FittingFields, ShortageFields

#: Which requests may wait for credit: those whose answer nobody waits for.
_WAITS = "with POST /v1/jobs, or Prefer: respond-async"
#: Of an account's jobs so many, the newest, are looked through for those that hold.
MOST_JOBS = 10_000


@dataclass(slots=True)
class Need:
    """The worst cases of the jobs of one request or batch, in their order, in micro-credits.

    `fixed` and `slope`: that all of them with a limit of N tokens an answer cost at most (fixed + slope × N), in
    millionths of a micro-credit; a slope of 0: nothing depends on a limit.
    """

    bounds: list[int] = field(default_factory=list)
    fixed: int = 0
    slope: int = 0
    #: The same two of the first job alone.
    first: tuple[int, int] = (0, 0)
    #: They are lines of a batch.
    lines: bool = False
    #: They could have waited for credit, but so many jobs of the account do already; 0: it is not about that.
    waiting: int = 0
    #: They are lines of a batch that could hold in slices instead.
    sliceable: bool = True
    #: What they are likely to cost, for a dry run.
    likely: Likely = field(default_factory=Likely)

    def add(self, bound: int, fixed: int, slope: int) -> None:
        """One more job."""
        if not self.bounds:
            self.first = fixed, slope
        self.bounds.append(bound)
        self.fixed += fixed
        self.slope += slope

    def extend(self, more: "Need") -> None:
        """Further jobs after these."""
        if not self.bounds:
            self.first = more.first
        self.bounds += more.bounds
        self.fixed += more.fixed
        self.slope += more.slope
        self.likely.extend(more.likely)

    @property
    def micros(self) -> int:
        return sum(self.bounds)

    def fitting(self, available: int) -> int:
        """How many of the jobs, from the first, could be held for."""
        return sum(total <= available for total in accumulate(self.bounds))

    def fits_in_slices(self, available: int) -> bool:
        """Whether each could be held for alone."""
        return max(self.bounds, default=0) <= available

    def limit(self, available: int) -> int | None:
        """The largest limit on tokens with which all of them could be held for; None: none would do."""
        return _most(available, self.fixed, self.slope, len(self.bounds))

    def first_limit(self, available: int) -> int | None:
        """The same for the first of them alone."""
        return _most(available, *self.first, 1)


def _most(available: int, fixed: int, slope: int, jobs: int) -> int | None:
    if not slope:
        return None
    most = (available * PER_TOKENS - fixed - (jobs - 1) * PER_TOKENS) // slope
    return most if most >= 1 else None


@dataclass(frozen=True, slots=True)
class Funds:
    """What an account has, in micro-credits; `jobs`: how many hold a part of it, None: not counted."""

    available: int
    held: int
    jobs: int | None = None


def balance(connection: Connection, account_id: str) -> Funds:
    """An account's balance, and how many unfinished jobs, or lines that are to become some, hold a part of it."""
    row = connection.execute(
        select(m.accounts.c.available_micros, m.accounts.c.held_micros, m.accounts.c.expired_micros).where(
            m.accounts.c.id == account_id
        )
    ).one()
    frozen = unspent.frozen(connection, account_id, clock.now_micros())[0] if row.expired_micros else 0
    available = max(0, row.available_micros - frozen)
    return Funds(available, row.held_micros, holding(connection, account_id) if row.held_micros else 0)


def holding(connection: Connection, account_id: str) -> int:
    """How many jobs, and lines of batches that are to become some, hold credit; of very many those of the newest."""
    newest = (
        select(m.jobs.c.status, m.jobs.c.bound_micros)
        .where(m.jobs.c.account_id == account_id, m.jobs.c.test.is_(False))
        .order_by(m.jobs.c.id.desc())
        .limit(MOST_JOBS)
        .subquery()
    )
    unfinished = select(func.count()).select_from(newest).where(text(UNFINISHED), newest.c.bound_micros > 0)
    waiting = select(func.coalesce(func.sum(m.batches.c.total - m.batches.c.released), 0)).where(
        m.batches.c.account_id == account_id, m.batches.c.status == "in_progress", m.batches.c.stopped.is_(None)
    )
    waiting = waiting.where(m.batches.c.bound_micros > m.batches.c.released_micros)  # else nothing is held for them
    return int(connection.execute(unfinished).scalar_one()) + int(connection.execute(waiting).scalar_one())


def refusal(need: Need, has: Funds) -> InsufficientCredits:
    """The 402 of a request."""
    message, fields = explain(need, has)
    if not need.waiting:
        them = "it" if len(need.bounds) == 1 else "them"
        message += f'; or set on_insufficient_credits to "wait" to run {them} once there is credit ({_WAITS})'
    error = InsufficientCredits(message, param="max_tokens" if "max_tokens" in fields else None)
    error.details, error.available, error.held = dict(fields), has.available, has.held
    return error


def explain(need: Need, has: Funds) -> tuple[str, ShortageFields]:
    """In words, and in fields of the error object: credits needed, available and held, and what would do."""
    total = len(need.bounds)
    fields: ShortageFields = {
        "required_credits": credits(need.micros),
        "available_credits": credits(has.available),
        "held_credits": credits(has.held),
    }
    said = f"these jobs may cost up to {as_read(need.micros)} credits, {as_read(has.available)} are available"
    if total == 1:
        said = said.replace("these jobs", "this job", 1)
    if has.held:
        by = "" if has.jobs is None else f" by {has.jobs:,} unfinished job{'s' * (has.jobs != 1)}"
        said += f" and {as_read(has.held)} are held{by}"
    if has.jobs is not None:
        fields["held_by_jobs"] = has.jobs
    would, more = what_would_do(need, has.available)
    if need.waiting:
        would.append(f"{need.waiting:,} jobs wait for credit already, no more can")
    return "; ".join([f"insufficient credits: {said}", *would]), {**fields, **more}


def what_would_do(need: Need, available: int) -> tuple[list[str], FittingFields]:
    """What would fit in so much, in words and in fields."""
    total, fits, limit = len(need.bounds), need.fitting(available), need.limit(available)
    would, fields = _would_do(need, limit), FittingFields()
    if limit is not None:
        fields["max_tokens"] = limit
    if need.lines or total > 1:
        fields["jobs"], fields["fitting_jobs"] = total, fits
    if total > 1:
        would.append(_fitting(need, available, fits, more=limit is None))
    if need.lines and need.sliceable and total > 1:
        fields["fits_in_slices"] = need.fits_in_slices(available)
        if fields["fits_in_slices"]:
            would.append('set hold to "slices" to hold for the lines that start next alone')
    return would, fields


def as_read(micros: int) -> str:
    """Credits as they are read: 4,987.2; never with an exponent."""
    whole, point, decimals = credits_decimal(micros).partition(".")
    return f"{int(whole):,}{point}{decimals}"


def _would_do(need: Need, limit: int | None) -> list[str]:
    if limit is None:
        return []
    each = f" in each {'line' if need.lines else 'job'}" if len(need.bounds) > 1 else ""
    return [f"set max_tokens to {limit:,} or less{each} to fit"]


def _fitting(need: Need, available: int, fits: int, *, more: bool) -> str:
    """How many fit as they are; with `more`, when no limit would do for all, whether one would for some."""
    of = f"of the {len(need.bounds):,} {'lines' if need.lines else 'jobs'}"
    if fits:
        return f"the first {fits:,} {of} would fit" + (
            ", or more with a smaller max_tokens" if more and need.slope else ""
        )
    limit = need.first_limit(available)
    alone = "" if limit is None else f"; it would fit with max_tokens of {limit:,} or less, and more with a smaller one"
    return f"the first {of} does not fit{alone}"


def linear(request: Any, offers: Sequence[Any], bound: int) -> tuple[int, int]:
    """What does not depend on a job's limit on tokens and what each token of it costs, as `Need.add` takes them."""
    if "messages" not in request:
        return bound * PER_TOKENS, 0
    choices, asked = request.get("n") or 1, request.get("max_tokens")
    slopes = [choices * offer.price.dearest_output for offer in offers]
    used = (slope * (asked or offer.max_output) for slope, offer in zip(slopes, offers, strict=True))
    fixed = max(offer.bound_micros * PER_TOKENS - part for offer, part in zip(offers, used, strict=True))
    if not asked:  # sending one lengthens the request, whose bytes are what its input is bounded by
        longer = len(',"max_tokens":') + len(str(max(offer.max_output for offer in offers)))
        fixed += longer * max(offer.price.dearest_input for offer in offers)
    return max(fixed, 0), max(slopes)
