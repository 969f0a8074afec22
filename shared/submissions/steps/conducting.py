"""What a conductor is: it says which step a job takes next, what a step is charged for, and what all may cost. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.errors import FusionError
from shared.money.pricing import Amount, Overheads
from shared.submissions.job_types import JobType
from shared.submissions.schemas import Usage


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job is asked: its canonical request, of which model."""

    request: Mapping[str, Any]
    model: str
    #: What the model's row has sent where the caller says nothing.
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One call to make. The same name is never asked for twice in one job."""

    name: str
    #: What is called for: a type of job, or one that an upstream knows whose only calls are steps.
    type: str
    #: In canonical terms.
    request: dict[str, Any]
    #: Whose offers may serve it: those of this role of the job's course; empty: the job's own.
    role: str = ""
    #: Its text is the job's answer: it is streamed to who reads the job as it comes. False: it may yet be none.
    visible: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A step that has ended well."""

    name: str
    #: The canonical result of its call.
    body: Mapping[str, Any]
    #: What it is charged for.
    counted: Usage


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """The end: the job's canonical result, without usage; `beside`: what else the result says of its usage."""

    body: dict[str, Any]
    beside: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """The end: no answer can be given. Nothing is charged."""

    error: FusionError


class Conductor(Protocol):
    """Decides upon the steps of jobs; pure, and the same for the same arguments in every release that has its name."""

    #: The roles that its steps have, and the type of the models that serve each; where a row names no model for a role
    #: of its own type, it serves that itself.
    roles: Mapping[str, JobType]
    #: Each step is charged by the job's first offer, whoever served it; else by the job's offer that served it.
    by_first_offer: bool

    def refused(self, asked: Asked) -> Iterable[tuple[str, str]]:
        """Yield what of a request cannot be served, as (path of the field, why)."""

    def next_step(self, asked: Asked, finished: Sequence[Finished]) -> Step | FinalAnswer | Failure:
        """The step after these, or the end."""

    def counted(self, asked: Asked, step: Step, usage: Usage) -> Usage:
        """What a step is charged for, of what its provider reported."""

    def worst(self, asked: Asked, text: Amount, whole: Amount, overheads: Overheads) -> Sequence[Sequence[Amount]]:
        """Every way that the steps may go, each as the most that each of its steps is charged for.

        `whole`: the worst case of the request as a single call of the model; `text`: the same without its pictures.
        """
