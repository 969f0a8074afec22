"""The room for sends: those that hang take it from each other; how many a webhook may have follows its answers."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from shared import clock
from workers.webhooks import receivers
from workers.webhooks.client import SendResult
from workers.webhooks.receivers import MOST_EACH, ReceiverState, ReceiverStates
from workers.webhooks.send_slots import MOST_SENDING, MOST_SLOW, SHARES, SendSlot, SendSlots
from workers.webhooks.turns import DeliveryTurns


def quick(status: int = 200) -> SendResult:
    return SendResult(status, b"", 0.01)


def known(account: str, url: str, *answers: SendResult) -> ReceiverState:
    ways = ReceiverState(account, url)
    for answer in answers:
        ways.learn(answer)
    return ways


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(bounded())


async def settled() -> None:
    """Everything that can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_seats_are_given_in_turn_and_none_is_lost_by_a_cancellation() -> None:
    async def main() -> None:
        seats, came = DeliveryTurns(1, 1, 1), []

        async def sit(name: str) -> None:
            await seats.take("a", "h")
            came.append(name)

        await seats.take("a", "h")
        waiting = [asyncio.create_task(sit(name)) for name in "abc"]
        await settled()
        waiting[0].cancel()
        seats.give("a", "h")
        await settled()
        assert came == ["b"] and seats.taken == 1
        seats.give("a", "h")
        waiting[2].cancel()  # just after its turn has come
        await settled()
        assert seats.taken == 0 and not (seats._waiting or seats._at_host or seats.of_account or seats.of_host)

    run(main())


def test_a_webhook_may_have_as_many_sends_as_it_answers_quickly() -> None:
    ways = ReceiverState("a", "https://a.example/")
    assert (ways.kind, ways.most) == ("fresh", 1)
    seen = []
    for _ in range(5):
        ways.learn(quick())
        seen.append(ways.most)
    assert seen == [2, 4, 8, 16, 32] and ways.kind == "quick"
    ways.learn(SendResult(200, b"", 3.0))
    assert (ways.kind, ways.most) == ("slow", receivers.MOST_SLOW_EACH)
    ways.learn(SendResult(None, b"", 15.0, "timeout"))
    assert (ways.kind, ways.most) == ("silent", 1)
    for _ in range(5):
        ways.learn(quick())
    assert (ways.kind, ways.most) == ("quick", MOST_EACH), "as before, when it is well again"


def test_one_that_fails_is_sent_one_at_a_time_with_rests() -> None:
    ways = known("a", "https://a.example/", *[quick()] * 4, *[quick(500)] * 4)
    assert ways.most == 1 and ways.rest_until == 0
    rests = []
    for _ in range(8):
        ways.learn(quick(500))
        rests.append(round(ways.rest_until - clock.monotonic(), 2))
    assert rests[:4] == pytest.approx([0.05, 0.1, 0.2, 0.4], abs=0.03) and max(rests) <= receivers.LONGEST_REST
    ways.learn(quick())
    assert ways.failures == 0 and ways.most == 2


def test_a_refused_connection_is_a_failure_but_not_slow() -> None:
    ways = known("a", "https://a.example/", SendResult(None, b"", 0.01, "connect"))
    assert (ways.kind, ways.most, ways.failures) == ("fresh", 1, 1)


def test_what_is_known_outlives_the_line_but_not_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "REMEMBERED", 3)
    memory = ReceiverStates()
    memory.of("w", "a", "https://a.example/").learn(SendResult(None, b"", 15.0, "timeout"))
    assert memory.of("w", "a", "https://a.example/").kind == "silent"
    assert memory.of("w", "a", "https://b.example/").kind == "fresh"
    for number in range(3):
        memory.of(f"w{number}", "a", "https://a.example/")
    assert memory.of("w", "a", "https://b.example/").failures == 0


async def fill(room: SendSlots, ways: list[ReceiverState]) -> list[tuple[SendSlot, ReceiverState]]:
    """Sends that hang, as many as get in."""
    entering = [(asyncio.create_task(room.enter(one)), one) for one in ways]
    await settled()
    came = [(task.result(), one) for task, one in entering if task.done()]
    for task, _ in entering:
        task.cancel()
    await settled()
    return came


def test_receivers_that_hang_do_not_keep_out_the_others() -> None:
    """1,000 of them, of 50 accounts: a quick one is let in at once, a new one as soon as the first are known."""

    async def main() -> None:
        room = SendSlots()
        tarpits = [ReceiverState(f"account {n // 20}", f"https://tarpit{n}.example/") for n in range(1000)]
        hanging = await fill(room, tarpits)
        assert len(hanging) == SHARES["fresh"][0]
        assert (await room.enter(known("b", "https://b.example/", quick()))).kind == "quick"
        new = asyncio.create_task(room.enter(ReceiverState("c", "https://c.example/")))
        await settled()
        assert not new.done()
        for ticket, ways in hanging:  # a second later
            room.move_to_slow(ticket, ways)
        await settled()
        assert new.done()
        again = await fill(room, [ways for _, ways in hanging])
        assert again == [], "those that are known to be slow have no more room than theirs"

    run(main())


def test_the_oldest_slow_send_is_given_up_when_there_are_too_many() -> None:
    async def main() -> None:
        room, cut = SendSlots(), []
        for round in range(MOST_SENDING // SHARES["fresh"][0] + 3):
            ways = [
                ReceiverState(f"account {n % 9}", f"https://t{round}-{n}.example/") for n in range(SHARES["fresh"][0])
            ]
            for ticket, one in await fill(room, ways):
                ticket.cut = lambda ticket=ticket: (cut.append(ticket), room.release(ticket))  # type: ignore[misc]
                room.move_to_slow(ticket, one)
        assert len(room._slow) <= MOST_SLOW and cut == sorted(cut, key=lambda ticket: ticket.began)

    run(main())


def test_an_account_and_a_host_have_only_their_shares() -> None:
    async def main() -> None:
        of_account = await fill(SendSlots(), [ReceiverState("a", f"https://a{n}.example/") for n in range(200)])
        assert len(of_account) == SHARES["fresh"][1]
        of_host = await fill(SendSlots(), [ReceiverState(f"a{n}", "https://A.example/") for n in range(100)])
        assert len(of_host) == SHARES["fresh"][2]
        answering = [known("a", f"https://a{n}.example/", quick()) for n in range(200)]
        assert len(await fill(SendSlots(), answering)) == SHARES["quick"][1]

    run(main())


def test_whoever_fell_silent_while_waiting_waits_among_the_silent() -> None:
    async def main() -> None:
        room = SendSlots()
        first = await fill(room, [ReceiverState("a", f"https://a{n}.example/") for n in range(SHARES["fresh"][1])])
        ways = ReceiverState("a", "https://late.example/")
        waiting = asyncio.create_task(room.enter(ways))
        await settled()
        ways.mark_slow()
        room.release(first[0][0])
        assert (await waiting).kind == "silent"

    run(main())
