"""Where outcomes are settled: little of it on the event loop's own thread."""

import asyncio
from typing import Any, cast

import pytest

from shared.db import Database
from shared.jobs.outcomes import Ending, Requeue, Settled, StepEnd
from shared.notifier import Notifier
from workers.running.settler import JobOutcome, Settler

SHORT, LONG = "x", "x" * 65_537


class Places:
    """A database that notes by which way it was written, and takes everything."""

    def __init__(self) -> None:
        self.ways: list[str] = []

    async def write(self, fn: Any, outcomes: list[JobOutcome]) -> Settled:
        self.ways.append("thread")
        return Settled({outcome.job_id: "done" for outcome in outcomes})

    async def write_few(self, fn: Any, outcomes: list[JobOutcome]) -> Settled:
        await self.write(fn, outcomes)
        self.ways[-1] = "spot"
        return Settled({outcome.job_id: "done" for outcome in outcomes})


class Silent:
    def publish(self, *_: object) -> None:
        """Tell nobody."""


def ended(response: str | None = None, partial: str | None = None) -> Ending:
    return Ending("job_1", 1, "succeeded", response=response, partial=partial)


def put_back(answer: str | None) -> Requeue:
    step = None if answer is None else StepEnd("search", 0, "google", "m", 0, {}, {}, 0, answer=answer)
    return Requeue("job_1", 1, "openai.realtime", 0, 0, 0, step=step)


@pytest.mark.parametrize(
    ("outcome", "way"),
    [
        (ended(SHORT), "spot"),
        (ended(LONG), "thread"),
        (ended(partial=LONG), "thread"),
        (put_back(None), "spot"),
        (put_back(SHORT), "spot"),
        (put_back(LONG), "thread"),
    ],
)
def test_a_long_answer_is_written_on_a_thread(outcome: JobOutcome, way: str) -> None:
    database = Places()

    async def main() -> None:
        settler = Settler(cast(Database, database), cast(Notifier, Silent()), lambda ids: None)
        assert await settler(outcome) == "done"

    asyncio.run(main())
    assert database.ways == [way]
