"""Usage over time, on both databases: the points of a day add up to the day, and the day to the ledger's."""

from typing import Any

import pytest
from sqlalchemy import func, select

from producer.operations import usage_series
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.errors import InvalidRequest
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from tests import contract
from tests.integration import world


@pytest.fixture(autouse=True)
def _virtual() -> Any:
    with world.virtual_time():
        yield


def series(database: Database, holder: KeyHolder, **given: str) -> Any:
    found = database.read_sync(usage_series.read, usage_series.read_wanted(holder, given))
    contract.check_object("UsageSeries", found)
    return found


def test_the_points_of_a_day_add_up_to_what_the_ledger_was_charged(database: Database) -> None:
    holder = world.open_account(database, 100_000)
    ids = world.queued(database, holder, 9, type="embedding")
    worker = world.new_worker(database)
    leased = world.take(database, worker, ids)
    for number, job in enumerate(leased):
        status: Any = "failed" if number == 8 else "succeeded"
        world.settle(database, Ending(job.id, job.epoch, status, **_used(number, status)))
        clock.shift(60 * clock.MICROS)
    by_minute = series(database, holder, interval="minute")
    by_hour = series(database, holder, interval="hour")
    by_day = series(database, holder, interval="day")
    assert len(by_minute["data"]) == 60 and len(by_hour["data"]) == 24 and len(by_day["data"]) == 30
    charged = select(func.sum(m.transfers.c.amount_micros)).where(m.transfers.c.kind == "charge")
    total = int(database.read_sync(lambda connection: connection.execute(charged).scalar_one()))
    for found in (by_minute, by_hour, by_day):
        assert round(sum(one["credits"] for one in found["data"]) * 1e6) == total > 0
        assert sum(one["jobs"] for one in found["data"]) == 8
    for found in (by_minute, by_hour):
        assert sum(one["failed"] for one in found["data"]) == 1
        assert sum(one["accepted"] for one in found["data"]) == 9
        assert found["complete_since"] == found["since"]
    assert max(one["jobs"] for one in by_minute["data"]) == 1
    assert sum(one["jobs"] for one in series(database, holder, model="gpt-4")["data"]) == 0
    own = series(database, holder, interval="day", key_id=holder.key_id)
    assert round(sum(one["credits"] for one in own["data"]) * 1e6) == total


def test_too_many_jobs_are_not_looked_at(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = world.open_account(database, 100_000)
    ids = world.queued(database, holder, 4, type="embedding")
    for job in world.take(database, world.new_worker(database), ids):
        world.settle(database, Ending(job.id, job.epoch, "succeeded", **_used(1, "succeeded")))
        clock.shift(120 * clock.MICROS)
    monkeypatch.setattr(usage_series, "MOST_LOOKED_AT", 2)
    found = series(database, holder, interval="minute")
    assert found["complete_since"] > found["since"]
    assert sum(one["jobs"] for one in found["data"]) == 2


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"interval": "week"}, "interval"),
        ({"since": "yesterday"}, "since"),
        ({"since": "0"}, "since"),
        ({"until": "10", "since": "9999"}, "since"),
    ],
)
def test_what_cannot_be_is_named(database: Database, given: dict[str, str], param: str) -> None:
    holder = world.open_account(database)
    with pytest.raises(InvalidRequest) as refused:
        usage_series.read_wanted(holder, given)
    assert refused.value.param == param


def _used(number: int, status: str) -> dict[str, Any]:
    if status != "succeeded":
        return {"error": {"message": "no", "type": "upstream_error", "code": 502}}
    return {
        "response": "{}",
        "provider": "openai",
        "model": "text-embedding-3-large",
        "prompt_tokens": 10,
        "charge_micros": 5 + number,
    }
