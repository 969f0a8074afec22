"""Jobs around a midnight at which a price changes: each has the price of its acceptance, and `verify` agrees."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from producer.admission.accept import Acceptor
from producer.admission.prepared import Accepted
from shared import clock
from shared.db import Database
from shared.jobs import transitions
from shared.money.pricing import Amount, price
from shared.settings import settings
from shared.submissions import catalogue as module
from shared.submissions.offers import Offer, read_offer
from tests.integration import world
from tests.unit.test_price_changes import DECEMBER, ROW, micros

MIDNIGHT = micros("2026-12-01")


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    path = tmp_path / "mine.toml"
    path.write_text(ROW + DECEMBER)
    monkeypatch.setattr(settings(), "catalogue", str(path))
    module.forget()
    with world.virtual_time():
        clock.shift(MIDNIGHT - 30 * clock.MICROS - clock.now_micros())
        yield
    monkeypatch.undo()
    module.forget()


def accepted(database: Database, holder: Any) -> str:
    """The id of a job that has just been accepted, at the price of its moment."""
    made = Acceptor(database, world.RecordedBell()).prepare(
        holder, [world.submission(model="m")], listed=False, claim=None
    )
    (outcome,) = world.accept_all(database, [made])
    assert isinstance(outcome, Accepted)
    return str(made.rows[0]["id"])


def offer_of(database: Database, id: str) -> Offer:
    (payload,) = world.rows(database, world.m.job_payloads, job_id=id)
    return read_offer(orjson.loads(payload["offers"])[0])


def charge(database: Database, id: str) -> int:
    """What a job is charged for a usage, by the price of its row."""
    (job,) = world.take(database, world.new_worker(database), [id])
    cost = price(Amount(10, 5, cached_tokens=4), offer_of(database, id).price)
    end = world.good_end(
        job,
        cost,
        provider="openai",
        model="m",
        prompt_tokens=10,
        completion_tokens=5,
        cached_tokens=4,
        service_tier="default",
    )
    database.write_sync(transitions.settle, [end])
    (result,) = world.rows(database, world.m.job_results, job_id=id)
    return int(result["charged_micros"])


def test_each_job_is_held_and_charged_at_the_price_of_its_acceptance(database: Database) -> None:
    holder = world.open_account(database)
    eve = [accepted(database, holder) for _ in range(2)]
    early = charge(database, eve[0])
    clock.shift(60 * clock.MICROS)
    late = accepted(database, holder)
    assert charge(database, eve[1]) == early == 6 * 1 + 1 + 5 * 2, "settled after midnight, at its own price"
    assert charge(database, late) == 3 * 6 + 2 + 5 * 6
    before, after = (offer_of(database, id) for id in (eve[1], late))
    assert (before.input, after.input) == (1_000_000, 3_000_000) and after.version == f"{before.version}@2026-12-01"
    assert world.row(database, eve[1])["bound_micros"] == before.bound_micros < after.bound_micros
    assert world.violations(database) == []


def test_two_processes_whose_clocks_differ_each_fix_the_price_on_the_row(database: Database) -> None:
    holder = world.open_account(database)
    clock.shift(MIDNIGHT - clock.now_micros())
    ids = {}
    for process, ahead in (("behind", -2), ("ahead", 2)):
        clock.shift(ahead * clock.MICROS)
        ids[process] = accepted(database, holder)
        clock.shift(-ahead * clock.MICROS)
    assert [offer_of(database, id).input for id in ids.values()] == [1_000_000, 3_000_000]
    assert [charge(database, id) for id in ids.values()] == [17, 50]
    assert world.violations(database) == []
