"""What is told of jobs that have just ended, by pub/sub: their ids, and small answers that are waited for. Pure.

The row is the truth; an answer in a hint is what has been committed, and saves whoever waits from reading it back. A
reader of an earlier version goes through the ids alone, which are the keys here; one of this takes a list of them too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shared.jobs.outcomes import Ending

#: Longer answers are read from their rows, in characters: each producer hears of them all.
MOST: Final = 16_384
#: Of all answers in one message, in characters: Redis hangs up on a listener that is megabytes behind.
MOST_IN_ALL: Final = 500_000

#: Ids, or by id what is told, None where nothing is.
Message = Sequence[str] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HintedAnswer:
    """What came of a job that succeeded."""

    response: str
    charged_micros: int


def message(ended: Sequence[Ending]) -> Message:
    """What is told of jobs whose ends have been committed."""
    told, left = dict[str, dict[str, Any] | None](), MOST_IN_ALL
    for ending in ended:
        answer = _told(ending)
        left -= len(answer["response"]) if answer else 0
        told[ending.job_id] = answer if left >= 0 else None
    return told if any(told.values()) else list(told)


def read(heard: Message) -> Iterator[tuple[str, HintedAnswer | None]]:
    """The jobs of a message, each with its answer if that is told."""
    told = heard.get if isinstance(heard, Mapping) else lambda _: None
    for id in heard:
        answer = told(id)
        yield id, HintedAnswer(answer["response"], answer["charged_micros"]) if answer else None


def _told(ending: Ending) -> dict[str, Any] | None:
    response = ending.response
    if not ending.awaited or ending.status != "succeeded" or response is None or len(response) > MOST:
        return None
    return {"response": response, "charged_micros": ending.charge_micros}
