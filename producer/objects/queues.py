"""The objects that operators are shown: providers' queues, pauses, breakers and pace; worker processes. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from shared.clock import MICROS, seconds
from shared.objects.fields import Count, Time
from shared.providers.states import ProviderState, words
from shared.queues import Lane


class QueuePause(TypedDict):
    """A pause that an operator has made. `since` is when it began."""

    since: Time
    operator: str
    reason: str


class Breaker(TypedDict):
    """Whether calls are paused because the provider is down, or refuses our key or quota."""

    state: Literal["closed", "open"]
    since: Time | None
    reason: str | None
    tried_again_at: Annotated[Time | None, Field(description="When a single call tries it again.")]


class ModelPace(TypedDict):
    """How fast a model is called, as all workers have found out; `model` is the provider's own name of it."""

    model: str
    breaker: Breaker
    calls_per_second: Annotated[float | None, Field(description="The most that are sent; null: no limit is known.")]
    calls_at_once: Annotated[int | None, Field(description="The most at the same time; null: no limit is known.")]
    answers_per_second: Annotated[float, Field(ge=0, description="Good answers of the last seconds.")]


class QueueLane(TypedDict):
    """One of a provider's two queues."""

    lane: Lane
    queue: str
    waiting: Annotated[int, Field(ge=0, description="Jobs that may run now, and wait for a worker.")]
    deferred: Annotated[int, Field(ge=0, description="Jobs that wait for a time, as after a 429.")]
    running: Count
    oldest_waiting_at: Annotated[Time | None, Field(description="When the oldest waiting job was created.")]


class Queue(TypedDict):
    """A provider's queues."""

    id: Annotated[str, Field(description="The provider.")]
    object: Literal["queue"]
    paused: QueuePause | None
    breaker: Breaker
    lanes: list[QueueLane]
    models: list[ModelPace]


class Worker(TypedDict):
    """A live worker process."""

    id: str
    object: Literal["worker"]
    host: str
    pid: int
    started_at: Time
    last_beat_at: Annotated[int, Field(description="When it last renewed its lease; Unix time in seconds.")]
    lease_until: Annotated[int, Field(description="When its lease ends without another beat.")]
    jobs: Annotated[int, Field(ge=0, description="Jobs that it holds.")]
    probation: Annotated[bool, Field(description="It runs jobs that have lost a worker, apart from others.")]


def breaker(state: ProviderState) -> Breaker:
    """A provider's or model's breaker."""
    if not state.paused:
        return {"state": "closed", "since": None, "reason": None, "tried_again_at": None}
    return {
        "state": "open",
        "since": int(state.paused_since),
        "reason": words(state.paused_for),
        "tried_again_at": int(state.tried_again_at),
    }


def model_pace(model: str, state: ProviderState, *, now: float, window: float) -> ModelPace:
    """The pace of a model. `now`: Redis's time in seconds, `window`: how far back answers are counted."""
    answered = sum(count for half, count in state.admitted if half / 2 >= now - window)
    return {
        "model": model,
        "breaker": breaker(state),
        "calls_per_second": None if state.ceiling is None else round(state.ceiling, 3),
        "calls_at_once": int(state.limit) if state.learned else None,
        "answers_per_second": round(answered / window, 2),
    }


def worker_object(row: Mapping[str, Any], jobs: int, lease_micros: int) -> Worker:
    """A worker, of its row; its lease was last set so long before its end."""
    return {
        "id": row["id"],
        "object": "worker",
        "host": row["host"],
        "pid": row["pid"],
        "started_at": row["started_at"] // MICROS,
        "last_beat_at": seconds(row["lease_until"] - lease_micros) or 0,
        "lease_until": row["lease_until"] // MICROS,
        "jobs": jobs,
        "probation": bool(row["probation"]),
    }
