"""Sixteen faults of a provider: S15, down for a while under traffic, and S16, what is charged after a fallback."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.acceptance.faults import (
    HEALTHY,
    PRIMARY_PRICE,
    SLACK_SECONDS,
    SPARE,
    SPARE_PRICE,
    TURN_SECONDS,
    Got,
    ask,
    both_ways,
    check_served,
    fault,
    made,
    primary,
)
from tests.acceptance.stack import Account, Stack
from tests.conditions import await_condition

DOWN_SECONDS = 8.0
CALLS, EACH_SECONDS = 30, 0.3
#: Calls to a provider that is down: some until it is known to be, and a few that try whether it is back; thirty calls
#: with their retries would be ninety. Of one that is silent, moreover, those that were made before the first had
#: waited for its time.
HANDFUL = 15
UNTIL_SILENCE_TELLS = round(TURN_SECONDS / EACH_SECONDS)
#: Until the provider is called again once it is up.
BACK_SECONDS = 30.0
#: Between two calls that ask whether it is: without a pause they would be most of what the stack does in these tests.
ASK_SECONDS = 0.1


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with short limits, and a Redis of its own."""
    with made(tmp_path_factory.mktemp("outages"), scenarios=["s15", "s15-hang", "s16"]) as running:
        yield running


def spread(account: Account, name: str, stream: bool) -> list[Got]:
    """Thirty calls, one after each pause, whether or not those before have ended."""

    def one(number: int) -> Got:
        threading.Event().wait(number * EACH_SECONDS)
        return ask(account, name, stream=stream, content=f"call {'x' * number}")

    with ThreadPoolExecutor(CALLS) as pool:
        return list(pool.map(one, range(CALLS)))


@both_ways
@pytest.mark.parametrize("how", ["503", "hang"])
def test_s15_an_outage_costs_a_handful_of_calls_and_then_the_primary_serves_again(
    stack: Stack, account: Account, stream: bool, how: str
) -> None:
    name = primary("s15-hang" if how == "hang" else "s15", stream)
    wrong = fault(name, kind="hang") if how == "hang" else fault(name, status=503)
    with stack.script(wrong | {"for_seconds": DOWN_SECONDS}, HEALTHY):
        for got in spread(account, name, stream):
            assert got.status == 200 and got.whole, got
        dead = [call for call in stack.seen(name) if call["outcome"] == "faulty"]
        assert 1 <= len(dead) <= HANDFUL + (UNTIL_SILENCE_TELLS if how == "hang" else 0)
        back = partial(await_condition, seconds=BACK_SECONDS, pause_seconds=ASK_SECONDS)
        back(lambda: ask(account, name, stream=stream).model == name, what="the primary's return")
        back(lambda: _served_often(account, name, stream), what="all of its traffic")
    assert stack.violations() == []


def _served_often(account: Account, name: str, stream: bool) -> bool:
    return all(ask(account, name, stream=stream).model == name for _ in range(5))


@both_ways
def test_s16_who_served_is_who_is_paid_for(stack: Stack, account: Account, stream: bool) -> None:
    name = primary("s16", stream)
    with stack.script(fault(name, status=503), HEALTHY):
        got = ask(account, name, stream=stream)
        job = check_served(account, got, SPARE)
        assert got.seconds <= 2 + SLACK_SECONDS
    usage = job["usage"]
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    assert SPARE_PRICE != PRIMARY_PRICE and usage["credits_used"] == pytest.approx(
        tokens * SPARE_PRICE / 10**12, abs=2e-6
    )
    assert {attempt["provider"] for attempt in job["attempts"]} == {name, SPARE}
    (row,) = account.live.get("/usage").json()["data"]
    assert (row["model"], row["provider"], row["credits_used"]) == (SPARE, SPARE, usage["credits_used"])
    assert job["model"] == name and stack.violations() == []
