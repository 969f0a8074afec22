"""Turns of sends: over accounts, then hosts, then webhooks; never over a share, and nobody waits for a free place."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_send_slots import known, quick, run, settled
from workers.webhooks.receivers import ReceiverState
from workers.webhooks.send_slots import MOST_SLOW, SHARES, SLOW_SHARE, SendSlots
from workers.webhooks.turns import DeliveryTurns


class Line:
    """Who takes places, and in which order they come."""

    def __init__(self, turns: DeliveryTurns) -> None:
        self.turns = turns
        self.came: list[tuple[str, str, int]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def wait(self, account: str, host: str, count: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._take(account, host, number)) for number in range(count)]
        await settled()

    async def _take(self, account: str, host: str, number: int) -> None:
        await self.turns.take(account, host)
        self.came.append((account, host, number))

    async def end(self, account: str, host: str) -> tuple[str, str, int]:
        """Give a place back: who got it."""
        before = len(self.came)
        self.turns.give(account, host)
        await settled()
        assert len(self.came) == before + 1, "nobody got it, or more than one"
        return self.came[-1]

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()


def lined(turns: DeliveryTurns, work: Any) -> None:
    async def main() -> None:
        line = Line(turns)
        try:
            await work(line)
        finally:
            line.stop()
            await settled()

    run(main())


def test_accounts_have_their_turn_whatever_waits_of_others() -> None:
    """Of one 90 webhooks wait, of two others one each: they are the second and the third to be let in."""

    async def work(line: Line) -> None:
        await line.wait("x", "x", 2)  # all there is
        await line.wait("many", "h", 90)
        await line.wait("b", "b")
        await line.wait("c", "c")
        assert [(await line.end("x", "x"))[0], (await line.end("x", "x"))[0]] == ["many", "b"]
        assert [(await line.end("many", "h"))[0], (await line.end("b", "b"))[0]] == ["c", "many"]

    lined(DeliveryTurns(2, 100, 100), work)


def test_hosts_of_an_account_have_their_turn_and_webhooks_of_a_host() -> None:
    async def work(line: Line) -> None:
        await line.wait("x", "x")
        await line.wait("a", "many", 3)
        await line.wait("a", "other", 2)
        came = [await line.end("x", "x")]
        for _ in range(4):
            came.append(await line.end(*came[-1][:2]))
        assert [(host, number) for _, host, number in came] == [
            ("many", 0), ("other", 0), ("many", 1), ("other", 1), ("many", 2),
        ]  # fmt: skip

    lined(DeliveryTurns(1, 100, 100), work)


def test_who_waits_for_its_accounts_share_holds_no_place_at_its_host() -> None:
    """An account whose sends hang elsewhere has as many waiting at a host as the host may have: others are let in."""

    async def work(line: Line) -> None:
        await line.wait("hanging", "elsewhere", 5)
        await line.wait("hanging", "shared", 5)
        assert line.turns.of_host == {"elsewhere": 5}
        await line.wait("b", "shared", 5)
        assert line.turns.of_host["shared"] == 5 and line.came[-1][0] == "b"

    lined(DeliveryTurns(100, 5, 5), work)


def test_accounts_have_their_turn_at_a_host_that_is_full() -> None:
    async def work(line: Line) -> None:
        await line.wait("a", "shared", 50)
        await line.wait("b", "shared", 2)
        came = [await line.end("a", "shared") for _ in range(4)]
        assert [account for account, _, _ in came] == ["a", "b", "a", "b"]

    lined(DeliveryTurns(1000, 1000, 3), work)


def test_one_host_that_is_full_keeps_only_its_own_waiting() -> None:
    async def work(line: Line) -> None:
        await line.wait("a", "full", 500)
        await line.wait("a", "free")
        await line.wait("b", "free")
        assert [one[1] for one in line.came] == ["full"] * 3 + ["free"] * 2

    lined(DeliveryTurns(1000, 1000, 3), work)


NAMES = st.sampled_from("abc")
STEPS = st.lists(st.tuples(st.sampled_from(["take", "give", "cancel", "seize"]), NAMES, NAMES), max_size=60)


class Model:
    """What has to be counted beside the turns, whatever is done."""

    def __init__(self) -> None:
        self.turns = DeliveryTurns(4, 3, 2)
        self.held: list[tuple[str, str]] = []
        self.waiting: list[tuple[str, str, asyncio.Task[None]]] = []
        self.seized = 0

    async def step(self, step: str, account: str, host: str) -> None:
        """One step; after a cancel the next follows at once, before the cancelled one has heard of it."""
        if step == "take":
            self.waiting.append((account, host, asyncio.create_task(self._take(account, host))))
        elif step == "give" and self.held:
            self.turns.give(*self.held.pop(0))
        elif step == "seize" and self.seized < 2:
            self.seized += 1
            self.turns.seize(account, host)
            self.held.append((account, host))
        elif step == "cancel" and self.waiting:
            self.waiting.pop(0)[2].cancel()
        if step != "cancel":
            await settled()
            self.check()

    async def _take(self, account: str, host: str) -> None:
        await self.turns.take(account, host)
        self.held.append((account, host))

    def check(self) -> None:
        self.waiting = [one for one in self.waiting if not one[2].done()]
        assert self.turns.taken == len(self.held) <= 4 + self.seized
        assert all(self.turns.of_account[name] == sum(a == name for a, _ in self.held) for name in "abc")
        assert all(self.turns.of_host[name] == sum(h == name for _, h in self.held) for name in "abc")
        assert not any(self.turns.has_room(account, host) for account, host, _ in self.waiting)

    async def end(self) -> None:
        for *_, task in self.waiting:
            task.cancel()
        await settled()
        for one in self.held:
            self.turns.give(*one)
        turns = self.turns
        assert not (turns.taken or turns.of_account or turns.of_host or turns._waiting or turns._at_host)


@given(STEPS)
def test_shares_hold_and_no_place_is_left_to_nobody(steps: list[tuple[str, str, str]]) -> None:
    async def main() -> None:
        model = Model()
        for step in steps:
            await model.step(*step)
        await model.end()

    asyncio.run(main())


async def started(room: SendSlots, receivers: list[ReceiverState]) -> int:
    """How many sends begin at once."""
    tasks = [asyncio.create_task(room.enter(one)) for one in receivers]
    await settled()
    begun = sum(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await settled()
    return begun


def hanging(accounts: int, each: int, kind: Any) -> list[ReceiverState]:
    made = [ReceiverState(f"a{a}", f"https://h{a}-{n}.example/") for a in range(accounts) for n in range(each)]
    for one in made:
        one.kind = kind
    return made


def test_receivers_that_do_not_answer_take_nothing_from_those_that_answer_late() -> None:
    async def main() -> None:
        room = SendSlots()
        assert await started(room, hanging(1000, 1, "silent")) == SHARES["silent"][0]
        for one in hanging(200, 1, "silent"):
            if room.has_room(one):
                await room.enter(one)
        late, new = ReceiverState("b", "https://late.example/"), ReceiverState("c", "https://new.example/")
        late.kind = "slow"
        known_quick = known("d", "https://quick.example/", quick())
        assert await started(room, [late, new, known_quick]) == 3

    run(main())


def test_the_first_sends_to_dead_receivers_become_silent_ones_not_slow_ones() -> None:
    async def main() -> None:
        room, dead = SendSlots(), hanging(100, 1, "fresh")
        for one in dead:
            room.move_to_slow(await room.enter(one), one)
        late = ReceiverState("b", "https://late.example/")
        late.kind = "slow"
        assert await started(room, [late]) == 1
        assert await started(room, hanging(1, 1, "silent")) == 0

    run(main())


def test_an_account_whose_sends_hang_is_cut_before_others() -> None:
    """The others' are older, and answer late: they are left to answer."""

    async def main() -> None:
        room, cut = SendSlots(), list[str]()

        async def hang(receiver: ReceiverState) -> None:
            slot = await room.enter(receiver)
            slot.cut = lambda: (cut.append(receiver.account_id), room.release(slot))  # type: ignore[func-returns-value,assignment,return-value]
            room.move_to_slow(slot, receiver)

        for one in hanging(MOST_SLOW - SLOW_SHARE - 10, 1, "fresh"):
            await hang(one)
        for number in range(SLOW_SHARE + 60):
            await hang(ReceiverState("flood", f"https://flood{number}.example/"))
        assert set(cut) == {"flood"} and len(cut) == 50
        assert len(room._slow) == MOST_SLOW

    run(main())
