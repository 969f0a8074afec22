"""Metrics of jobs that end: which counters a group adds to, and by how much.

Counters hold integers (jobs, tokens, micro-credits, milliseconds) and are labelled by what there is a bounded number
of: providers, lanes, models, never accounts. `producer.metrics` shows them.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from shared.db.counters import Key, of
from shared.jobs.outcomes import Ending, StepEnd
from shared.queues import provider_of

#: Upper ends of the histogram of a job's time from acceptance to end, in seconds: to a week, for batches.
BUCKETS: Final = (
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
    *(900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0, 604_800.0, float("inf")),
)
_BUCKETS_MICROS: Final = [seconds * 1_000_000 for seconds in BUCKETS]
_ENDS: Final = [str(seconds) for seconds in BUCKETS]

#: In the place of a provider: of answers from the cache, whose tokens no provider has counted.
CACHE: Final = "cache"
#: The labels of each counter that has some.
LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "jobs_settled": ("provider", "lane", "status"),
    "job_seconds": ("provider", "lane", "le"),
    "job_millis": ("provider", "lane"),
    "job_retries": ("provider",),
    "tokens": ("provider", "model", "kind"),
    "webhook_deliveries": ("outcome",),
    "cache_lookups": ("outcome",),
    "job_steps": ("provider", "model"),
    "job_step_tokens": ("provider", "model", "kind"),
    "job_step_micros": ("provider", "model"),
}
#: Everything that the label of a counter by outcome may be.
OUTCOMES: Final[Mapping[str, tuple[str, ...]]] = {
    "webhook_deliveries": ("delivered", "retried", "failed"),
    "cache_lookups": ("hit", "miss"),
}


def of_endings(ended: Iterable[tuple[Ending, Mapping[str, Any]]], now: int) -> dict[Key, int]:
    """What jobs that end at `now` add; each with its row's `queue`, `lane`, `model` and `created_at`."""
    sums: Counter[Key] = Counter()
    kinds: dict[tuple[str, str, str, str], list[tuple[Ending, int]]] = {}
    for ending, job in ended:
        served_by = CACHE if ending.cached_from else ending.provider
        provider, lane = provider_label(served_by, job["queue"]), job["lane"]
        micros = now - job["created_at"]
        kind = provider, lane, ending.status, ending.model or job["model"]
        kinds.setdefault(kind, []).append((ending, micros if micros > 0 else 0))
    for (provider, lane, status, model), some in kinds.items():  # the lines of a batch are of one kind, mostly
        sums[key("jobs_settled", provider, lane, status)] += len(some)
        sums[key("job_millis", provider, lane)] += sum([(micros + 500) // 1000 for _, micros in some])
        for at, count in Counter([bisect_left(_BUCKETS_MICROS, micros) for _, micros in some]).items():
            sums[key("job_seconds", provider, lane, _ENDS[at])] += count
        _count_used(sums, provider, model, [ending for ending, _ in some])
    return dict(sums)


def _count_used(sums: Counter[Key], provider: str, model: str, endings: Sequence[Ending]) -> None:
    """What jobs that one provider's model has served used and were charged, and how often it was asked again."""
    counted = [ending for ending in endings if not ending.cached_from]
    prompt, completion = sum([one.prompt_tokens for one in counted]), sum([one.completion_tokens for one in counted])
    if prompt or completion:
        sums[key("tokens", provider, model, "prompt")] += prompt
        sums[key("tokens", provider, model, "completion")] += completion
    for ending in endings:
        if len(ending.attempts) > 1:
            for attempt in _retries(ending.attempts):
                sums[key("job_retries", attempt.get("provider") or provider)] += 1
    sums[key("charged_micros")] += sum([ending.charge_micros for ending in endings])
    sums[key("excess_micros")] += sum([ending.excess_micros for ending in endings])


def of_steps(ended: Iterable[StepEnd]) -> dict[Key, int]:
    """What steps that have ended add, by who served them: what the provider reported, at its own list price."""
    sums: Counter[Key] = Counter()
    for one in ended:
        sums[key("job_steps", one.provider, one.model)] += 1
        sums[key("job_step_tokens", one.provider, one.model, "prompt")] += one.used.get("prompt_tokens") or 0
        sums[key("job_step_tokens", one.provider, one.model, "completion")] += one.used.get("completion_tokens") or 0
        sums[key("job_step_micros", one.provider, one.model)] += one.cost_micros
    return dict(sums)


def _retries(attempts: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The attempts after the first one, of each step for itself."""
    seen = set()
    for attempt in attempts:
        if (step := attempt.get("step")) in seen:
            yield attempt
        seen.add(step)


@lru_cache(maxsize=4096)
def key(name: str, *labels: str) -> Key:
    """The key of a counter, its labels in the order of LABELS."""
    return of(name, **dict(zip(LABELS.get(name, ()), labels, strict=True)))


def provider_label(served_by: str | None, queue: str) -> str:
    """Who served a job, or whose queue it ended on; the queue of no provider (`probation`) goes by its own name."""
    return served_by or provider_of(queue) or queue


def bucket(micros: int) -> str:
    """The upper end, in seconds, of the narrowest bucket that holds so many microseconds.

    >>> bucket(50_000), bucket(50_001), bucket(10**12)
    ('0.05', '0.1', 'inf')
    """
    return _ENDS[bisect_left(_BUCKETS_MICROS, micros)]
