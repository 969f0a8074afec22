"""What follows when a step of a job has been answered: the next step, on its provider's queue, or the job's end."""

from dataclasses import replace
from typing import Any

import orjson

from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending, Requeue, StepEnd
from shared.money.pricing import charge_of_all, price
from shared.queues import PROBATION, Lane, queue_name
from shared.submissions import charging
from shared.submissions.catalogue import catalogue
from shared.submissions.offers import Offer
from shared.submissions.schemas import Usage
from shared.submissions.steps.conducting import Failure, Finished, Step
from shared.submissions.steps.course import COURSE
from workers.providers import ProviderAnswer
from workers.running import outcomes, walks
from workers.running.walks import Walk

Tried = list[dict[str, Any]]


def answered(job: Leased, walk: Walk, offer: Offer, answer: ProviderAnswer, attempts: Tried) -> Ending | Requeue:
    """What follows the answer to a job's step: it is written down with whatever it leads to."""
    step = walk.step
    counted = walk.conductor.counted(walk.asked, step, answer.usage)
    by = walk.charged_by(charging.priced_offer(walk.offers, offer, answer.usage.service_tier))
    end = _step_end(walk, offer, by, answer, counted)
    on = walk.after(Finished(step.name, answer.body, counted), by)
    if isinstance(on.next, Step):
        end = replace(end, answer=orjson.dumps(answer.body).decode())
        return to_next(job, on, end, attempts)
    ignored = [name for name in answer.ignored if name.partition("[")[0].partition(".")[0] in walk.asked.request]
    return replace(ended(job, on, attempts), ignored=ignored, step=end)


def to_next(job: Leased, walk: Walk, end: StepEnd, attempts: Tried) -> Requeue:
    """To the queue of the next step's provider, at once; in probation, or where that has no queue, it stays."""
    provider, lane = walk.offers[0].provider, _lane(job)
    stays = job.queue == PROBATION or provider not in catalogue().queued
    queue = job.queue if stays else queue_name(provider, lane)
    return Requeue(job.id, job.epoch, queue, COURSE, 0, 0, attempts, wake=job.queue != PROBATION, step=end)


def ended(job: Leased, walk: Walk, attempts: Tried) -> Ending:
    """The end of a job whose conductor has nothing more to ask: one charge for all of its steps."""
    if isinstance(walk.next, Failure):
        return Ending(job.id, job.epoch, "failed", error=walk.next.error.as_json(), attempts=attempts)
    assert not isinstance(walk.next, Step)
    usage, by = walks.total([one.counted for one in walk.finished]), walk.charged[-1]
    charged, excess = (0, 0) if job.test else charge_of_all(walk.spent, bound=job.bound_micros)
    shown = outcomes.usage_of(replace(job, type="chat.completion"), usage, charged)  # of the step it may be another
    body = {**walk.next.body, "usage": shown, **walk.next.beside}
    counts = {name: getattr(usage, name) for name in charging.USED}
    return Ending(
        job.id,
        job.epoch,
        "succeeded",
        response=orjson.dumps(body).decode(),
        attempts=attempts,
        provider=by.provider,
        model=by.model,
        **counts,
        service_tier=by.service_tier,
        estimated=usage.estimated,
        charge_micros=charged,
        excess_micros=excess,
    )


def kept(made: Ending | Requeue) -> Ending | Requeue:
    """The same as the job's row says it: the number of an offer is one of its step's."""
    if isinstance(made, Requeue) and made.step is None:
        return replace(made, offer=made.offer + COURSE)
    return made


def _lane(job: Leased) -> Lane:
    return "batch" if job.lane == "batch" else "realtime"


def _step_end(walk: Walk, offer: Offer, by: Offer, answer: ProviderAnswer, counted: Usage) -> StepEnd:
    counts = {name: getattr(counted, name) for name in charging.USED if name != "images"}
    used = {name: value for name in (*charging.USED, "size") if (value := getattr(answer.usage, name))}
    index = next(at for at, one in enumerate(walk.own) if one is by)
    cost, number = _list_price(answer.usage, offer), len(walk.finished)
    return StepEnd(walk.step.name, number, offer.provider, offer.model, index, counts, used, cost, counted.estimated)


def _list_price(usage: Usage, offer: Offer) -> int:
    """What a call comes to at the price of who served it; 0 where that has none."""
    try:
        return price(usage.amount, offer.price)
    except KeyError:
        return 0
