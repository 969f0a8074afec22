"""Outcomes of a leased job: its end or a requeue, and what settling them came to. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

Terminal = Literal["succeeded", "failed", "cancelled", "expired"]
JobStatus = Literal["queued", "running", Terminal]
TERMINAL: Final[frozenset[str]] = frozenset(get_args(Terminal))

#: The event that a job's end emits.
EVENTS: Final[Mapping[str, str]] = {
    "succeeded": "job.completed",
    "failed": "job.failed",
    "cancelled": "job.cancelled",
    "expired": "job.expired",
}

#: Says of an attempt, in the rows alone, that its answer had begun: it may have been paid for.
BEGAN = "began"


@dataclass(frozen=True, slots=True)
class StepEnd:
    """A step of a job that has ended well: who served it, and what the job is charged for it (`job_steps`)."""

    step: str
    number: int
    provider: str
    model: str
    #: The job's offer by whose price it is charged.
    offer: int
    #: The counts that are charged, by the names of their columns.
    counted: Mapping[str, int | None]
    #: What the provider reported, by the names of `Usage`; and what that costs at the list price of who served it.
    used: Mapping[str, Any]
    cost_micros: int
    estimated: bool = False
    #: Canonical, as JSON; None: the job has ended with it.
    answer: str | None = None


@dataclass(slots=True)
class Ending:
    """A job's terminal transition. `takes`: by somebody else than its holder, which bumps the epoch.

    Nothing changes one; it is not frozen, since one is made for each job and freezing doubles what making one costs.
    """

    job_id: str
    epoch: int
    status: Terminal
    came_from: Literal["queued", "running"] = "running"
    takes: bool = False
    response: str | None = None
    error: Mapping[str, Any] | None = None
    attempts: Sequence[Mapping[str, Any]] = ()
    ignored: Sequence[str] = ()
    provider: str | None = None
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_creation_1h_tokens: int | None = None
    #: The tier by whose price it is charged; empty: none was told or asked for.
    service_tier: str = ""
    images: int = 0
    estimated: bool = False
    charge_micros: int = 0
    excess_micros: int = 0
    #: Somebody may have read of the answer as it came; it is paid for whatever becomes of the job.
    relayed: bool = False
    #: Somebody waits for the answer as a whole, and has read nothing of it as it came.
    awaited: bool = False
    #: The answer as far as it came, of a job that ended before it was whole.
    partial: str | None = None
    #: The job whose answer this is, of one that was answered from the cache.
    cached_from: str | None = None
    #: The last step of a job that takes several calls.
    step: StepEnd | None = None
    #: When it was begun, of a job whose lease was never written (`shared.jobs.first_leases`): it comes from `queued`,
    #: and its holder bumps the epoch.
    began_at: int | None = None


@dataclass(frozen=True, slots=True)
class RelayedPart:
    """What has been sent on of a running job's answer, and what that costs, as counted by its holder."""

    job_id: str
    epoch: int
    provider: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    charge_micros: int


@dataclass(frozen=True, slots=True)
class Requeue:
    """A job its holder puts back: for later (`run_at`; 0: at once), or on another offer's queue."""

    job_id: str
    epoch: int
    queue: str
    offer: int
    failures: int
    run_at: int
    #: What has been tried; None: nothing more than before.
    attempts: Sequence[Mapping[str, Any]] | None = None
    #: Why it waits for `run_at`; None: it may run at once.
    deferred_for: str | None = None
    #: Its holder rings for it right after; else the feeder wakes it.
    wake: bool = False
    #: What its holder has sent on of an answer that it did not live to see whole.
    relayed: RelayedPart | None = None
    #: The step of it that has just ended, after which there is another.
    step: StepEnd | None = None


#: `done`: took effect now, or by this same holder before; `stale`: the job was no longer the caller's.
Verdict = Literal["done", "stale"]


@dataclass(slots=True)
class Settled:
    """What a group of outcomes came to."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    #: Webhook deliveries now due.
    deliveries: list[str] = field(default_factory=list)
