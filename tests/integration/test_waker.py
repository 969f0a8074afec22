"""Which thread rings for accepted jobs, and what becomes of those whose message was not answered."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from producer.admission import waker
from producer.admission.waker import Waker
from shared.db import Database
from tests.integration import world

QUEUE = "openai.batch"


class LoopBell:
    """A loop's bell that takes what it is given, or not; `lose` gives up what it has taken."""

    def __init__(self, bell: object, again: Callable[[str, Sequence[str], bool], None]) -> None:
        self._again = again
        self.takes, self.still_first = True, False
        self.rung: list[tuple[str, Sequence[str], bool]] = []

    def ring(self, queue: str, ids: Sequence[str], *, first: bool = False) -> bool:
        if self.takes:
            self.rung.append((queue, ids, first))
        return self.takes

    def lose(self) -> None:
        for queue, ids, _ in self.rung:
            self._again(queue, ids, self.still_first)

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[LoopBell]:
    """The bells of loops that were made."""
    bells: list[LoopBell] = []

    def make(bell: object, again: Callable[[str, Sequence[str], bool], None]) -> LoopBell:
        bells.append(LoopBell(bell, again))
        return bells[-1]

    monkeypatch.setattr(waker, "LoopBell", make)
    return bells


def test_the_loop_rings_where_it_can(database: Database, made: list[LoopBell]) -> None:
    async def go() -> None:
        one, loop = Waker(database, bell), asyncio.get_running_loop()
        one.ring(loop, QUEUE, ["job_1"], first=True)
        made[0].takes = False
        one.ring(loop, QUEUE, ["job_2"], first=True)
        await asyncio.to_thread(one.ring, loop, QUEUE, ["job_3"], first=False)
        made[0].takes = True
        await asyncio.to_thread(one.ring, loop, QUEUE, ["job_4"], first=False)
        await one.close()

    bell = world.RecordedBell()
    asyncio.run(go())
    assert made[0].rung == [(QUEUE, ["job_1"], True)]
    assert bell.rung == [(QUEUE, ["job_2"]), (QUEUE, ["job_3"]), (QUEUE, ["job_4"])] and bell.first == ["job_2"]


@pytest.mark.parametrize("up", [True, False])
def test_what_was_not_answered_is_rung_again_as_no_first_lease_or_left_to_the_feeder(
    database: Database, made: list[LoopBell], up: bool
) -> None:
    async def go() -> None:
        one, loop = Waker(database, bell), asyncio.get_running_loop()
        one.ring(loop, QUEUE, ids, first=True)
        made[-1].lose()
        await one.close()

    ids = world.queued(database, world.open_account(database), 2)
    for id in ids:
        world.change(database, id, woken_at=1)
    bell = world.RecordedBell()
    bell.up = up
    asyncio.run(go())
    assert bell.rung == ([(QUEUE, ids)] if up else []) and not bell.first
    assert [world.row(database, id)["woken_at"] for id in ids] == [1 if up else None] * 2
