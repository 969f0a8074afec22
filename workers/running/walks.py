"""How far a job of several calls has come, read from its rows: the steps that have ended, and the one to take now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.money.pricing import Amount, UnitPrices
from shared.submissions.charging import USED
from shared.submissions.offers import Offer
from shared.submissions.schemas import Usage
from shared.submissions.steps import grounding
from shared.submissions.steps.conducting import Asked, Conductor, Failure, FinalAnswer, Finished, Step
from shared.submissions.steps.conductors import CONDUCTORS
from shared.submissions.steps.course import StepCourse, course_of

#: What of a request asks for a stream: only the step that gives the answer is asked for one.
_STREAMED = ("stream", "stream_options")


@dataclass(frozen=True, slots=True)
class Walk:
    """A job's course, its own offers, the steps that have ended, each with its offer, and what is next."""

    course: StepCourse
    conductor: Conductor
    asked: Asked
    own: Sequence[Offer]
    finished: tuple[Finished, ...]
    charged: tuple[Offer, ...]
    next: Step | FinalAnswer | Failure

    @property
    def step(self) -> Step:
        """The step to take now; only where that is what is next."""
        assert isinstance(self.next, Step)
        return self.next

    @property
    def request(self) -> dict[str, Any]:
        """What is asked for now."""
        if not isinstance(self.next, Step):
            return {}
        if self.next.visible:
            return self.next.request
        return {name: value for name, value in self.next.request.items() if name not in _STREAMED}

    @property
    def offers(self) -> Sequence[Offer]:
        """Who may serve the step."""
        return self.course.served_by(self.next.role, self.own) if isinstance(self.next, Step) else ()

    def charged_by(self, offer: Offer) -> Offer:
        """The job's offer by which a step is charged that this offer serves: what is no model's, as the step before."""
        if any(one is offer for one in self.own) and not self.conductor.by_first_offer:
            return offer
        return self.own[0] if self.conductor.by_first_offer or not self.charged else self.charged[-1]

    @property
    def spent(self) -> list[tuple[Amount, UnitPrices]]:
        """What the steps that have ended are charged for."""
        parts = zip(self.finished, self.charged, strict=True)
        return [(done.counted.amount, grounding.price_of(done.name, offer.price)) for done, offer in parts]

    def after(self, finished: Finished, offer: Offer) -> "Walk":
        """The same when another step has ended, charged by that offer of the job."""
        steps = (*self.finished, finished)
        following = self.conductor.next_step(self.asked, steps)
        return replace(self, finished=steps, charged=(*self.charged, offer), next=following)


def of(model: str, request: dict[str, Any], offers: Sequence[Offer], rows: Sequence[Mapping[str, Any]]) -> Walk | None:
    """How far a job has come; None: it takes one call. KeyError, TypeError, ValueError: another version's."""
    course = course_of(offers)
    if course is None:
        return None
    conductor, asked = CONDUCTORS[course.conductor], Asked(request, model, course.defaults)
    finished = tuple(_finished(row) for row in rows)
    charged = tuple(offers[row["offer"]] for row in rows)
    return Walk(course, conductor, asked, offers, finished, charged, conductor.next_step(asked, finished))


def total(counted: Sequence[Usage]) -> Usage:
    """What several calls used together; a detail that is not known of one of them is not known of all."""
    sums: dict[str, Any] = {"estimated": any(one.estimated for one in counted)}
    for name in USED:
        known = [getattr(one, name) for one in counted]
        sums[name] = None if None in known else sum(known)
    return Usage(**sums)


def _finished(row: Mapping[str, Any]) -> Finished:
    counted = Usage(**{name: row[name] for name in USED if name in row}, estimated=bool(row["estimated"]))
    return Finished(row["step"], orjson.loads(row["answer"]), counted)
