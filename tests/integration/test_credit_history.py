"""What remained day by day: by sums of charges and the transfers of no job, and it agrees with the balance."""

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from producer.operations import credit_history
from producer.operations.usage import Period
from shared import clock
from shared.audit import Action
from shared.db import Database
from shared.errors import InvalidRequest
from shared.key_holders import KeyHolder
from shared.money import corrections
from tests.integration import world
from tests.integration.world import CREDIT
from workers.maintenance.sweep import Sweeper

DAY = 86_400 * clock.MICROS


@pytest.fixture(autouse=True)
def shifted_back() -> Any:
    with world.virtual_time():
        yield


def spend(database: Database, holder: KeyHolder, credits: int, held: int | None = None) -> str:
    ids = world.queued(database, holder, bound=(held or credits) * CREDIT)
    (job,) = world.take(database, world.new_worker(database), ids)
    world.settle(database, world.good_end(job, credits * CREDIT))
    return str(job.id)


def today() -> date:
    return clock.utc(clock.now_micros()).date()


def test_each_day_ends_with_what_was_there(database: Database) -> None:
    holder = world.open_account(database, 100)
    first = today()
    expected = [(100, 100, 0)]
    clock.shift(DAY)
    until = clock.now_micros() + 3 * DAY
    database.write_sync(corrections.grant, Action("a", "credits.grant"), holder.account_id, 50 * CREDIT, until)
    job = spend(database, holder, 20, held=60)
    expected.append((130, 50, 20))
    clock.shift(DAY)
    database.write_sync(corrections.refund, Action("a", "credits.refund", "bad"), job, 5 * CREDIT)
    database.write_sync(corrections.adjust, Action("a", "credits.adjust", "typo"), holder.account_id, -1 * CREDIT)
    expected.append((134, 4, 0))
    clock.shift(DAY)
    world.queued(database, holder, bound=30 * CREDIT)
    expected.append((134, 0, 0))
    clock.shift(DAY + 1)
    Sweeper(database, world.RecordedBell()).expire_grants()
    gone = (
        134
        - database.read_sync(lambda c: credit_history.history(c, holder.account_id, Period(today(), today())))["data"][
            0
        ]["remaining"]
    )
    expected.append((134 - gone, -gone, 0))
    found = database.read_sync(credit_history.history, holder.account_id, Period(first, today()))["data"]
    assert [(day["remaining"], day["added"], day["spent"]) for day in found] == expected
    assert [day["date"] for day in found] == [str(first + timedelta(days=n)) for n in range(5)]
    earlier = database.read_sync(
        credit_history.history, holder.account_id, Period(first - timedelta(days=2), first + timedelta(days=1))
    )["data"]
    assert [day["remaining"] for day in earlier] == [0, 0, 100, 130], "counted back over what came later"


def test_charges_of_jobs_are_not_read_one_by_one(database: Database) -> None:
    holder, made = world.open_account(database, 100), list[Any]()
    spend(database, holder, 3)

    def hear(connection: Any, cursor: Any, statement: str, given: Any, *_: Any) -> None:
        made.append((statement, given))

    def look(connection: Connection) -> list[str]:
        event.listen(database.engine, "before_cursor_execute", hear)
        credit_history.history(connection, holder.account_id, Period(today(), today()))
        event.remove(database.engine, "before_cursor_execute", hear)
        if not database.is_sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        words = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        asked = [(one, given) for one, given in made if "FROM transfers" in one]
        return [str(connection.exec_driver_sql(f"{words} {one}", given).all()) for one, given in asked]

    plans = database.read_sync(look)
    assert "transfers_given" in plans[0] and "transfers_correcting" in plans[1]


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [("2026-02-02", "2026-02-01", "is after"), ("2020-01-01", "2026-01-01", "maximum"), ("tomorrow", None, "from")],
)
def test_a_period_that_cannot_be_is_refused(first: str, last: str | None, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        credit_history.read_period(first, last)
