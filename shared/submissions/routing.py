"""Which of several candidates is asked first, and why: by a budget, or by weights. Pure: no clock, no network.

A candidate that fails most of its calls is *failing*; whatever the order, it comes after those that are not.

Weights rank by a score, less being better: the weighted mean of four measures from 0 to 1. `error` is the part of calls
that fail. `price`, `start_latency` and `end_latency` are 1 - least / own, with the least of all candidates: 0 for the
best, 0.5 for one twice that. What is not known of a candidate counts as the mean of the known.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

Budget = Literal["economy", "balanced", "quality"]
Measure = Literal["price", "error", "start_latency", "end_latency"]

#: What is ranked by when the caller says nothing.
DEFAULT_WEIGHTS: Final[Mapping[Measure, float]] = {
    "price": 1.0,
    "error": 1.0,
    "start_latency": 0.25,
    "end_latency": 0.25,
}
#: A candidate is failing with this part of calls failed, of at least so many.
FAILING_RATE: Final = 0.5
FAILING_CALLS: Final = 3.0
#: Scores that differ from the best by no more than this are about equal.
NEAR: Final = 0.05


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of one model that may serve: its expected cost, and how its calls have gone lately."""

    model: str
    provider: str
    #: In millionths of a micro-credit.
    cost: int
    error_rate: float = 0.0
    first_seconds: float | None = None
    total_seconds: float | None = None
    calls: float = 0.0

    @property
    def failing(self) -> bool:
        """Whether most of its calls fail."""
        return self.error_rate >= FAILING_RATE and self.calls >= FAILING_CALLS


@dataclass(frozen=True, slots=True)
class Order:
    """Indexes of the candidates, the one to ask first at the front, and why it is."""

    indexes: Sequence[int]
    reason: str


def by_budget(candidates: Sequence[Candidate], budget: Budget) -> Order:
    """`economy`: the cheapest first; `quality`: the dearest first; `balanced`: as they were given. Failing ones last.

    Equals stay in their order. Price stands for ability: of what a request may be served by, the dearest is the most
    able.

    >>> dear, cheap = Candidate("a", "x", 900), Candidate("b", "y", 20)
    >>> by_budget([dear, cheap], "economy").indexes, by_budget([dear, cheap], "quality").reason
    ([1, 0], 'dearest of 2 candidates')
    """
    sign = {"economy": 1, "balanced": 0, "quality": -1}[budget]
    indexes = sorted(
        range(len(candidates)), key=lambda index: (candidates[index].failing, sign * candidates[index].cost)
    )
    return Order(indexes, _said(candidates, indexes, _WORDS[budget]))


_WORDS: Final[Mapping[Budget, str]] = {"economy": "cheapest", "balanced": "first", "quality": "dearest"}


def by_weights(
    candidates: Sequence[Candidate], weights: Mapping[Measure, float], prefix: Callable[[], bytes] | None = None
) -> Order:
    """The lowest score first; failing ones last, equals in their order.

    `prefix` makes the key of what a provider's cache may hold of the conversation: those that are about as good as the
    best are ordered by it alone, so that the next request of the same conversation asks the same one first.
    """
    scores = _scores(candidates, weights)
    indexes = sorted(range(len(candidates)), key=lambda index: (candidates[index].failing, scores[index]))
    reason = _said(candidates, indexes, "best by weights")
    first = indexes[0]
    near = [
        i for i in indexes if scores[i] <= scores[first] + NEAR and candidates[i].failing == candidates[first].failing
    ]
    if prefix is None or len(near) < 2:
        return Order(indexes, reason)
    key = prefix()
    kept = sorted(near, key=lambda index: _drawn(key, candidates[index]), reverse=True)
    rest = [index for index in indexes if index not in near]
    if kept[0] != first:
        reason = f"kept for the prompt cache, of {len(near)} about as good as the best of {len(candidates)} candidates"
    return Order(kept + rest, reason)


def conversation(account: str, request: Mapping[str, Any]) -> bytes:
    """The key of what a provider's prompt cache may hold of a chat.

    The account, with `prompt_cache_key` if there is one; else with the tools, and the messages up to the first of the
    user: what each later turn begins with.
    """
    if (named := request.get("prompt_cache_key")) is not None:
        return _digest(orjson.dumps([account, named]))
    messages = request.get("messages", ())
    turn = next((number for number, one in enumerate(messages) if one["role"] == "user"), len(messages))
    return _digest(orjson.dumps([account, request.get("tools"), messages[: turn + 1]]))


def _scores(candidates: Sequence[Candidate], weights: Mapping[Measure, float]) -> list[float]:
    total = sum(weights.values())
    scores = [0.0] * len(candidates)
    for measure, weight in weights.items():
        if weight:
            for index, part in enumerate(_MEASURED[measure](candidates)):
                scores[index] += weight / total * part
    return scores


def _relative(values: Sequence[float | None]) -> list[float]:
    """1 - least / own; of what is not known, the mean of the others.

    >>> _relative([2, 1, None, 4])
    [0.5, 0.0, 0.4166666666666667, 0.75]
    """
    known = [value for value in values if value is not None]
    if not known:
        return [0.0] * len(values)
    least = min(known)
    parts = [None if value is None else 1 - least / value if value else 0.0 for value in values]
    mean = sum(part for part in parts if part is not None) / len(known)
    return [mean if part is None else part for part in parts]


_MEASURED: Final[Mapping[Measure, Callable[[Sequence[Candidate]], list[float]]]] = {
    "price": lambda candidates: _relative([one.cost for one in candidates]),
    "error": lambda candidates: [one.error_rate for one in candidates],
    "start_latency": lambda candidates: _relative([one.first_seconds for one in candidates]),
    "end_latency": lambda candidates: _relative([one.total_seconds for one in candidates]),
}


def _drawn(key: bytes, candidate: Candidate) -> bytes:
    """Rendezvous hashing: a candidate's own number for a key, whichever other candidates there are."""
    return _digest(key + f"{candidate.provider}/{candidate.model}".encode())


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()


def _said(candidates: Sequence[Candidate], indexes: Sequence[int], word: str) -> str:
    """`cheapest of 3 candidates`; where failing ones were passed over, that too."""
    if len(candidates) == 1:
        return "the only candidate"
    failing = sum(one.failing for one in candidates)
    passed = f", {failing} of which are failing" if failing and not candidates[indexes[0]].failing else ""
    return f"{word} of {len(candidates)} candidates{passed}"
