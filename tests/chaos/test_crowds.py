"""Many at once, over several producer processes: one job a key, not a credit too many, not a request too many."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pyreqwest.client import ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport

from shared import accounts, clock, key_limits
from shared.key_limits import Change
from shared.money import ledger
from shared.money.budgets import BudgetPeriod
from shared.verify import verify
from tests.chaos.conftest import Stacks
from tests.harness import Stack, chat
from tests.integration.limit_crowd import crowd, most_within
from tests.servers import RedisServer

FULL = [pytest.mark.chaos, pytest.mark.timeout(600)]
#: Connections of the crowd.
CLIENTS = 64


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stack(request: pytest.FixtureRequest, stacks: Stacks) -> Iterator[Stack]:
    """Two producers, and nobody who would run a job."""
    with stacks.own(request.param, names=("web", "web2")) as started:
        yield started


def post_all(stack: Stack, key: str, posts: Sequence[tuple[Any, dict[str, str]]]) -> list[httpx.Response]:
    """POST /v1/jobs of bodies with headers, to one producer after the other, all at once; the answers in order."""
    urls = [stack.url(name) + "/v1/jobs" for name in stack.processes if name.startswith("web")]

    async def scene() -> list[httpx.Response]:
        room = asyncio.Semaphore(CLIENTS)
        headers = {"Authorization": f"Bearer {key}"}
        # httpx's own pool of connections costs milliseconds a request here, and the crowd would be none.
        whole = httpx.Timeout(None, read=60)
        # Idle connections are left before the server closes them, which it does after 5 s.
        transport = HttpxTransport(ClientBuilder().no_proxy().pool_idle_timeout(timedelta(seconds=2)).build())
        async with httpx.AsyncClient(headers=headers, transport=transport, timeout=whole, trust_env=False) as client:

            async def post(at: int) -> httpx.Response:
                async with room:
                    body, more = posts[at]
                    return await client.post(urls[at % len(urls)], json=body, headers=more)

            return await asyncio.gather(*(post(at) for at in range(len(posts))))

    return asyncio.run(scene())


@pytest.mark.parametrize(("keys", "times"), [(60, 20), pytest.param(1000, 50, marks=FULL)])
def test_each_idempotency_key_makes_one_job(stack: Stack, keys: int, times: int) -> None:
    account = stack.open_account(100 * keys)
    posts = [(chat(f"{n}"), {"Idempotency-Key": f"key {n}"}) for n in range(keys) for _ in range(times)]
    answers = post_all(stack, account.live_key, posts)
    assert Counter(answer.status_code for answer in answers) == {202: keys * times}
    replies: defaultdict[str, list[httpx.Response]] = defaultdict(list)
    for answer in answers:
        replies[answer.request.headers["Idempotency-Key"]].append(answer)
    for same in replies.values():
        assert len(same) == times and len({answer.content for answer in same}) == 1
        assert sum("idempotent-replayed" not in answer.headers for answer in same) == 1
        assert len({answer.headers["location"] for answer in same}) == 1
    counted = "SELECT count(*) FROM {} WHERE account_id = :id"
    assert stack.rows(counted.format("jobs"), id=account.id)[0][0] == keys
    assert stack.rows(counted.format("transfers") + " AND kind = 'hold'", id=account.id)[0][0] == keys
    assert stack.database.read_sync(verify) == []


@pytest.mark.parametrize("listed", [False, True])
def test_credit_for_a_hundred_buys_a_hundred(stack: Stack, listed: bool) -> None:
    body = {"jobs": [chat("0000"), chat("0000")]} if listed else chat("0000")
    rich = stack.open_account()
    stack.call(rich.live_key, "POST", "/v1/jobs", body)
    (price,) = stack.rows("SELECT held_micros FROM accounts WHERE id = :id", id=rich.id)[0]
    id, key = opened(stack, "enterprise", 100 * price)
    answers = post_all(stack, key, [(body, {})] * 500)
    assert Counter(answer.status_code for answer in answers) == {202: 100, 402: 400}
    balance = "SELECT available_micros, held_micros FROM accounts WHERE id = :id"
    assert tuple(stack.rows(balance, id=id)[0]) == (0, 100 * price)
    assert stack.database.read_sync(verify) == []


def test_a_keys_budget_for_a_hundred_buys_a_hundred(stack: Stack) -> None:
    """The account has more than enough; its other key, which has no budget, goes on beside it."""
    rich = stack.open_account()
    stack.call(rich.live_key, "POST", "/v1/jobs", chat("0000"))
    (price,) = stack.rows("SELECT held_micros FROM accounts WHERE id = :id", id=rich.id)[0]
    id, free = opened(stack, "enterprise", 10_000 * price)
    budgets: dict[BudgetPeriod, int | None] = {"day": 101 * price, "month": 100 * price + price // 2}
    key_id, key = limited_key(stack, id, Change(budgets=budgets))
    posts = [(chat("0000"), {"Authorization": f"Bearer {free}"} if at % 10 == 9 else {}) for at in range(550)]
    answers = post_all(stack, key, posts)
    assert Counter(answer.status_code for answer in answers[9::10]) == {202: 55}
    assert Counter(a.status_code for at, a in enumerate(answers) if at % 10 != 9) == {202: 100, 402: 395}
    refused = next(answer.json()["error"] for answer in answers if answer.status_code == 402)
    assert refused["reason"] == "key_budget_exceeded" and refused["budget"]["period"] == "month"
    held = "SELECT DISTINCT held_micros, spent_micros FROM key_spend WHERE key_id = :id"
    assert [tuple(row) for row in stack.rows(held, id=key_id)] == [(100 * price, 0)]
    assert stack.database.read_sync(verify) == []


def test_producers_share_a_keys_tokens(stack: Stack) -> None:
    """Sixty-five tokens each: their limit of fifty, and what the text is."""
    id, _ = opened(stack, "enterprise", 1000 * clock.MICROS)
    _, key = limited_key(stack, id, Change({"tokens_per_minute": 3000}))
    answers = post_all(stack, key, [(chat("a", max_tokens=50), {})] * 300)
    counts = Counter(answer.status_code for answer in answers)
    (each,) = {3000 - left(a) for a in answers if a.status_code == 202 and left(a) == max(map(left, answers))}
    assert counts == {202: 3000 // each, 429: 300 - 3000 // each}
    assert {answer.headers["x-ratelimit-limit-tokens"] for answer in answers} == {"3000"}


def left(answer: httpx.Response) -> int:
    """The tokens that are left, by its headers."""
    return int(answer.headers["x-ratelimit-remaining-tokens"])


def limited_key(stack: Stack, account: str, limits: Change) -> tuple[str, str]:
    """Another key of an account: its id, and the key."""

    def make(connection: Any) -> tuple[str, str]:
        id, key = accounts.create_key(connection, account, "live")
        key_limits.change(connection, id, limits)
        return id, key

    return stack.database.write_sync(make)


def test_producers_share_an_accounts_limit(stack: Stack) -> None:
    """A starter's hundred requests a minute, offered tenfold to two producers."""
    id, key = opened(stack, "starter", 1000 * clock.MICROS)
    answers = post_all(stack, key, [(chat("a"), {})] * 1000)
    assert Counter(answer.status_code for answer in answers) == {202: 100, 429: 900}
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"100"}
    left = sorted(int(a.headers["x-ratelimit-remaining-requests"]) for a in answers if a.status_code == 202)
    assert left == list(range(100)), "each was told another rest"
    assert all(0 < int(a.headers["retry-after"]) <= 61 for a in answers if a.status_code == 429)
    assert stack.rows("SELECT count(*) FROM jobs WHERE account_id = :id", id=id)[0][0] == 100


def opened(stack: Stack, plan: str, micros: int) -> tuple[str, str]:
    """An account with exactly so much, and its live key."""

    def make(connection: Any) -> tuple[str, str]:
        id = accounts.create_account(connection, "crowd", plan)
        ledger.grant(connection, id, micros)
        return id, accounts.create_key(connection, id, "live")[1]

    return stack.database.write_sync(make)


@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_four_processes_share_one_limit_for_minutes(redis_server: RedisServer) -> None:
    offered, admitted = crowd(redis_server.url, "acct_crowd", processes=4, limit=2500, window=60.0, seconds=150.0)
    most = most_within(60.0, admitted)
    print(f"\n{sum(offered):,} offered by 4 processes, {len(admitted):,} admitted, at most {most:,} in a minute")
    assert sum(offered) >= 10 * len(admitted) and most <= 2500
    assert len(admitted) >= 0.99 * 3 * 2500
