"""Makes the rows of a queued job from a submission: the hot row and the payload."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared import clock
from shared.money import shortage
from shared.money.pricing import PER_TOKENS
from shared.queues import Lane, queue_name
from shared.settings import settings
from shared.strict_json import dumps
from shared.submissions import answer_options, linked_context, quote
from shared.submissions.job_types import CALLBACK, JobType
from shared.submissions.offers import Offer
from shared.submissions.schemas import NO_ROUTING, Submission
from shared.submissions.steps.course import COURSE, is_kept_in, provider_of

Row = dict[str, Any]

#: The version before this one reads from `run_at` since when a realtime job waits, and would take 0 for ages. Where all
#: share the database's time, what may run at once says this much earlier than now: more than that can be read wrong by.
EARLIER_MICROS = 2 * clock.MICROS


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a job is; the same for all jobs of a request or batch."""

    account_id: str
    key_id: str
    test: bool
    batch_id: str | None = None
    lane: Lane = "batch"
    priority: int = 0
    #: Microseconds; None: the usual time from now.
    expires_at: int | None = None
    #: In the periods of which instant its jobs count in budgets of its key; None: in none.
    budget_at: int | None = None


@dataclass(slots=True)
class PricedSubmission:
    """A submission with its offers fixed, in the form its rows keep: JSON texts. Not frozen, as Submission is not."""

    type: JobType
    model: str
    #: Who is asked first.
    provider: str
    bound_micros: int
    request: str
    offers: str
    labels: str | None = None
    #: The caller's wishes about who serves.
    routing: str | None = None
    #: The entities that its first message tells of, as the caller named them.
    linked_context: str | None = None
    #: What is asked of its answer: `shared.submissions.answer_options`.
    answer_options: str | None = None
    #: What the customer calls it in a batch.
    custom_id: str | None = None
    #: How its bound depends on the limit on tokens: see `shared.money.shortage.Need`.
    fixed: int = 0
    slope: int = 0
    #: Of a line in a dialect's own form (`shared.dialects`): that dialect, and the body as it was sent.
    dialect: str | None = None
    sent: str | None = None
    #: Whose events of its end are to be written beside ours.
    owed_events: str | None = None
    #: It may wait for credit.
    waits: bool = False
    callback_url: str | None = None


def priced(submission: Submission, made: Sequence[Offer], custom_id: str | None = None) -> PricedSubmission:
    """Fix the offers of a submission."""
    most = quote.bound(made)
    return PricedSubmission(
        submission.type,
        submission.model or made[0].model,
        provider_of(made),
        most,
        submission.json.decode(),
        dumps(made),
        dumps(submission.labels) if submission.labels else None,
        _wishes(submission),
        linked_context.as_json(submission.linked),
        answer_options.as_json(submission.options),
        custom_id,
        *((most * PER_TOKENS, 0) if made[0].course else shortage.linear(submission.request, made, most)),
        owed_events=CALLBACK if submission.callback_url else submission.owed_events,
        callback_url=submission.callback_url,
        waits=submission.waits,
    )


def bounded(submission: Submission, made: Sequence[Offer]) -> PricedSubmission:
    """What a submission costs at most, of one of which nothing is kept: without the texts."""
    most = quote.bound(made)
    fixed, slope = (most * PER_TOKENS, 0) if made[0].course else shortage.linear(submission.request, made, most)
    model = submission.model or made[0].model
    return PricedSubmission(submission.type, model, "", most, "", "", fixed=fixed, slope=slope)


def _wishes(submission: Submission) -> str | None:
    """Routing as it was asked for; None when it was not, which costs nothing."""
    if submission.routing is NO_ROUTING:
        return None
    return dumps(submission.routing.model_dump(exclude_defaults=True))


def at_once(now: int) -> int:
    """The `run_at` of a job that may be run as of now."""
    return now - EARLIER_MICROS if clock.is_learned() else 0


def rows(owner: Owner, wanted: PricedSubmission, *, wake: bool = False) -> tuple[Row, Row]:
    """A new queued job, eligible once its rows are committed. `wake`: its doorbell is rung right after."""
    now = clock.now_micros()
    id = clock.new_id("job")
    job = {
        "id": id,
        "account_id": owner.account_id,
        "key_id": owner.key_id,
        "batch_id": owner.batch_id,
        "custom_id": wanted.custom_id,
        "type": wanted.type,
        "dialect": wanted.dialect,
        "model": wanted.model,
        "test": owner.test,
        "status": "queued",
        "queue": queue_name(wanted.provider, owner.lane),
        "lane": owner.lane,
        "offer": COURSE if is_kept_in(wanted.offers) else 0,
        "priority": owner.priority,
        "run_at": at_once(now) if owner.lane == "realtime" else 0,
        "woken_at": now if wake else None,
        "expires_at": owner.expires_at or now + settings().job_expires_seconds * clock.MICROS,
        "lease_epoch": 0,
        "cancel_requested": False,
        "failures": 0,
        "cohort": 0,
        "bound_micros": wanted.bound_micros,
        "wanted_micros": None,
        "answer_options": wanted.answer_options,
        "owed_events": wanted.owed_events,
        "budget_at": owner.budget_at,
        "budget_open": owner.budget_at is not None,
        "created_at": now,
    }
    payload = {
        "job_id": id,
        "request": wanted.request,
        "offers": wanted.offers,
        "labels": wanted.labels,
        "routing": wanted.routing,
        "linked_context": wanted.linked_context,
        "sent": wanted.sent,
        "wait_until": None,
        "callback_url": wanted.callback_url,
        "trace": None,
    }
    return job, payload
