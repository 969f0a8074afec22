"""A POST without a key that its SDK repeats by itself is bought once, over two processes, whichever comes first."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import update

from producer.admission.accept import Acceptor
from producer.admission.idempotency import AGAIN, FIRST, LATE_SECONDS, RETRY_SECONDS, Claim, claim_of_retry, is_known
from producer.admission.prepared import Accepted
from producer.admission.run_once import _once
from producer.dialects import fusionai
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.key_holders import KeyHolder
from tests.integration import world

BODY = {"model": "gpt-4", "messages": []}


def claim(holder: KeyHolder, retries: int, body: Any = BODY, path: str = "/chat/completions") -> Claim:
    made = claim_of_retry(holder, str(retries), "POST", path, body)
    assert made is not None
    return made


def post(database: Database, holder: KeyHolder, *retries: int, body: Any = BODY) -> list[str]:
    """Each in a transaction of its own: the ids of their jobs."""
    return [
        job_id(world.accept_all(database, [world.order(database, holder, claim=claim(holder, count, body))])[0])
        for count in retries
    ]


def job_id(outcome: Any) -> str:
    assert isinstance(outcome, Accepted), outcome
    return str(outcome.response.split('"id":"')[1].split('"')[0])


def age(database: Database, seconds: float) -> None:
    """Let every kept answer be older."""
    older = m.idempotency_keys.c.created_at - int(seconds * clock.MICROS)
    database.write_sync(lambda connection: connection.execute(update(m.idempotency_keys).values(created_at=older)))


def bought(database: Database) -> int:
    return len(world.rows(database, m.jobs))


def test_a_retry_gets_the_answer_of_the_first(database: Database) -> None:
    holder = world.open_account(database)
    first, second, third = post(database, holder, 0, 1, 2)
    assert first == second == third and bought(database) == 1
    assert world.violations(database) == []


def test_who_asks_twice_has_it_twice_and_retries_get_the_latest(database: Database) -> None:
    holder = world.open_account(database)
    first, second, again = post(database, holder, 0, 0, 1)
    assert first != second == again and bought(database) == 2


def test_a_retry_whose_first_never_came_buys_once(database: Database) -> None:
    holder = world.open_account(database)
    once, twice = post(database, holder, 1, 2)
    assert once == twice and bought(database) == 1


def test_a_first_that_comes_after_its_retry_is_not_bought_again(database: Database) -> None:
    """It was held up in one process while its retry went through another; one, not two: the next is a new one."""
    holder = world.open_account(database)
    retry, late, new = post(database, holder, 1, 0, 0)
    assert retry == late != new and bought(database) == 2


def test_each_has_its_time(database: Database) -> None:
    holder = world.open_account(database)
    (retry,) = post(database, holder, 1)
    age(database, LATE_SECONDS + 1)
    (new,) = post(database, holder, 0)
    assert new != retry
    age(database, RETRY_SECONDS - 1)
    assert post(database, holder, 1) == [new]
    age(database, RETRY_SECONDS)
    assert post(database, holder, 1) != [new]


def test_another_body_key_or_path_is_another_request(database: Database) -> None:
    holder, other = world.open_account(database), world.open_account(database)
    jobs = [*post(database, holder, 0), *post(database, holder, 1, body={**BODY, "n": 1}), *post(database, other, 1)]
    assert len(set(jobs)) == 3
    assert claim(holder, 0).key != claim(holder, 0, path="/jobs").key
    assert "/webhooks" not in fusionai.DIALECT.bought and "/jobs" in fusionai.DIALECT.bought
    for odd in ("", "x", "-1", "\u0663", "1.0"):
        assert claim_of_retry(holder, odd, "POST", "/jobs", BODY) is None
    assert [claim(holder, count).fingerprint for count in (0, 1, 20)] == [FIRST, AGAIN, AGAIN]


def test_in_one_transaction(database: Database) -> None:
    holder = world.open_account(database)
    orders = [world.order(database, holder, claim=claim(holder, count)) for count in (0, 1, 0, 2)]
    first, again, new, later = map(job_id, world.accept_all(database, orders))
    assert first == again != new == later
    orders = [world.order(database, holder, claim=claim(holder, count, {"n": 2})) for count in (1, 0, 0, 1)]
    first, late, new, later = map(job_id, world.accept_all(database, orders))
    assert first == late != new == later and bought(database) == 4


def test_it_is_known_to_be_no_new_load(database: Database) -> None:
    holder = world.open_account(database)
    post(database, holder, 0)
    known = [database.read_sync(is_known, claim(holder, count)) for count in (0, 1)]
    assert known == [False, True]


def test_what_is_done_in_a_transaction_of_its_own_the_same(database: Database) -> None:
    holder = world.open_account(database)
    made: list[int] = []

    def do(connection: Any) -> dict[str, Any]:
        made.append(len(made))
        return {"id": f"batch_{len(made)}"}

    answers = [
        database.write_sync(_once, claim(holder, count, path="/batches"), None, do, ()) for count in (1, 0, 0, 1, 2)
    ]
    assert [replayed for _, replayed in answers] == [False, True, False, True, True]
    assert [text for text, _ in answers] == ['{"id":"batch_1"}'] * 2 + ['{"id":"batch_2"}'] * 3


@pytest.mark.parametrize("retries", [(0, 1), (1, 2, 1, 1), (0, 1, 2, 1)])
def test_two_processes_at_once_buy_once(database: Database, retries: Sequence[int]) -> None:
    """Twenty requests and their retries, each through a process of its own, all at the same time."""
    holder = world.open_account(database)
    url = database.engine.url.render_as_string(hide_password=False)
    outcomes: dict[int, set[str]] = {}

    async def through(counts: Sequence[int], own: Database) -> None:
        acceptor = Acceptor(own, world.RecordedBell())

        async def one(number: int, count: int) -> None:
            mine = claim(holder, count, {**BODY, "number": number})
            outcome = await acceptor.accept(acceptor.prepare(holder, [world.submission()], listed=False, claim=mine))
            outcomes.setdefault(number, set()).add(job_id(outcome))

        await asyncio.gather(*(one(number, count) for number in range(20) for count in counts))
        await acceptor.close()

    def run(counts: Sequence[int]) -> None:
        own = Database(url)
        asyncio.run(through(counts, own))
        own.close()

    threads = [threading.Thread(target=run, args=(retries[at::2],)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(ids) for ids in outcomes.values()] == [1] * 20
    assert bought(database) == 20 and world.violations(database) == []
