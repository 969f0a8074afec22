"""The course of a job that takes several calls, as its first offer keeps it: who conducts, and who may serve each role.

`Offer.course` is `{"conductor", "roles", "defaults", "first"}`: the conductor's name; by role the offers that may serve
its steps, in their order (their prices are the list prices of who serves, which nobody is charged); what is sent where
the caller says nothing; and the provider of the first step, on whose queue the job begins. Other keys are passed over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from shared.submissions.offers import Offer, read_offer

#: Added to the `offer` of a job that has a course; more than any job has offers. An earlier release, which knows no
#: steps, finds no such offer, and leaves the job to workers that do.
COURSE: Final = 1000


@dataclass(frozen=True, slots=True)
class StepCourse:
    """How a job of several calls goes."""

    conductor: str
    roles: Mapping[str, Sequence[Offer]]
    defaults: Mapping[str, Any]
    #: The provider of its first step.
    first: str

    def served_by(self, role: str, own: Sequence[Offer]) -> Sequence[Offer]:
        """Who may serve a step of this role; `own`: the job's own offers."""
        return self.roles.get(role) or own


def with_course(offers: Sequence[Offer], course: StepCourse) -> list[Offer]:
    """The same offers, the first with the course."""
    first, *rest = offers
    roles = {role: [_short(one) for one in served] for role, served in course.roles.items()}
    return [replace(first, course={**asdict(course), "roles": roles}), *rest]


def _short(offer: Offer) -> dict[str, Any]:
    return {name: value for name, value in asdict(offer).items() if value is not None}


def course_of(offers: Sequence[Offer]) -> StepCourse | None:
    """The course that a job's offers have; None: it takes one call. KeyError, TypeError: it cannot be read."""
    kept = offers[0].course if offers else None
    if kept is None:
        return None
    roles = {role: [read_offer(one) for one in served] for role, served in kept["roles"].items()}
    return StepCourse(kept["conductor"], roles, kept.get("defaults") or {}, kept["first"])


def has_course(offer: int) -> bool:
    """Whether a job's `offer` says that it takes several calls."""
    return offer >= COURSE


def provider_of(offers: Sequence[Offer]) -> str:
    """On whose queue a job with these offers begins."""
    course = offers[0].course
    return str(course["first"]) if course else offers[0].provider


def is_kept_in(offers: str) -> bool:
    """Whether offers, as a job's row or a batch's plan keeps them, have a course."""
    return '"course":{' in offers
