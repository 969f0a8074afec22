"""What follows a restore, from the rows: no number, epoch or lease of the time that was undone is given out again."""

import pytest
from sqlalchemy import Connection, select, update

from producer.operations import events as event_operations
from producer.operations.pages import PageQuery
from shared import after_restore, audit, clock, console_sessions
from shared.audit import Action
from shared.db import Database, counters
from shared.db import models as m
from shared.errors import Conflict, InvalidRequest
from shared.jobs import disowning
from shared.money import purchases
from shared.money.invoices import NUMBERS
from shared.money.purchases import NewPurchase
from shared.webhooks import event_search
from tests.integration import world
from workers.maintenance import recovery
from workers.running import lease

ACTION = Action("ann", "restored")
HOUR = 3600 * clock.MICROS


def ends(database: Database, holder: world.KeyHolder, count: int) -> list[str]:
    """Jobs that end, each with an event; their ids."""
    ids = world.queued(database, holder, count)
    held = world.take(database, world.new_worker(database), ids)
    world.settle(database, *(world.good_end(one, 5) for one in held))
    return ids


def events_of(database: Database, holder: world.KeyHolder) -> list[tuple[int, str]]:
    """Numbers and ids, in order."""
    mine = select(m.events.c.sequence, m.events.c.id).where(m.events.c.account_id == holder.account_id)
    rows = database.read_sync(lambda connection: connection.execute(mine.order_by(m.events.c.sequence)).all())
    return [(row.sequence, row.id) for row in rows]


def test_events_go_on_with_numbers_that_none_has_had(database: Database) -> None:
    holder, idle = world.open_account(database), world.open_account(database)
    ends(database, holder, 3)
    before = events_of(database, holder)
    done = after_restore.settle(database, ACTION)
    assert (done.accounts, events_of(database, holder)) == (2, before)
    assert world.violations(database) == []
    ends(database, holder, 2)
    ends(database, idle, 1)
    after = [number for number, _ in events_of(database, holder)]
    first = -(-(before[-1][0] + after_restore.EVENTS_APART) // after_restore.EVENTS_APART) * after_restore.EVENTS_APART
    assert after == [*(number for number, _ in before), first + 1, first + 2]
    assert [number for number, _ in events_of(database, idle)] == [after_restore.EVENTS_APART + 1]
    assert world.violations(database) == []
    after_restore.settle(database, ACTION)  # and again
    ends(database, holder, 1)
    assert events_of(database, holder)[-1][0] > first + 2 + after_restore.EVENTS_APART - 2
    assert world.violations(database) == []


@pytest.mark.usefixtures("passing_time")
def test_the_longer_ago_the_further(database: Database) -> None:
    holder = world.open_account(database)
    ends(database, holder, 1)
    clock.shift(HOUR)
    done = after_restore.settle(database, ACTION)
    assert 0 <= clock.now_micros() - HOUR - done.restored_to < 60 * clock.MICROS
    ends(database, holder, 1)
    assert events_of(database, holder)[-1][0] > 3600 * after_restore.MOST_EVENTS
    assert world.violations(database) == []


def test_what_is_missing_beside_what_was_left_out_is_found(database: Database) -> None:
    holder = world.open_account(database)
    ends(database, holder, 3)
    after_restore.settle(database, ACTION)
    ends(database, holder, 3)
    last, _ = events_of(database, holder)[-1]

    def number(connection: Connection, by: int) -> None:
        mine = update(m.accounts).where(m.accounts.c.id == holder.account_id)
        connection.execute(mine.values(sequence=m.accounts.c.sequence + by))

    for by in (1, -1):
        database.write_sync(number, by)
        assert [one for one in world.violations(database) if "sequence numbers" in one]
        database.write_sync(number, -by)
    database.write_sync(lambda connection: connection.execute(m.events.delete().where(m.events.c.sequence == last - 1)))
    assert [one for one in world.violations(database) if "sequence numbers" in one]


def test_a_reader_whose_last_event_was_undone_gets_all_that_came_since(database: Database) -> None:
    holder = world.open_account(database)
    ends(database, holder, 2)
    undone = clock.new_id("evt")
    owner = (holder.account_id, holder.test)
    with pytest.raises(InvalidRequest, match="unknown event"):
        database.read_sync(event_operations.list_events, holder, PageQuery(limit=20, after=undone))
    done = after_restore.settle(database, ACTION)
    ends(database, holder, 2)
    page = database.read_sync(event_operations.list_events, holder, PageQuery(limit=20, after=undone))
    assert [one["id"] for one in page["data"]] == [id for _, id in events_of(database, holder)[-2:]]
    for strange in (clock.new_id("evt"), clock.least_id("evt", done.restored_to - HOUR), "evt_" + "z" * 32):
        assert database.read_sync(event_search.number_of, owner, strange) is None


@pytest.mark.usefixtures("passing_time")
def test_events_since_a_time_are_found_on_either_side(database: Database) -> None:
    holder = world.open_account(database)
    owner = (holder.account_id, holder.test)
    times = []
    for n in range(6):
        if n == 3:
            after_restore.settle(database, ACTION)
        times.append(clock.now_micros())
        ends(database, holder, 1)
        clock.shift(HOUR)
    numbers = [number for number, _ in events_of(database, holder)]
    for at, number in zip(times, numbers, strict=True):
        found = database.read_sync(event_search.first_since, owner, at)
        assert found <= number and not [one for one in numbers if found <= one < number], (found, number)


def test_no_answer_of_before_is_taken(database: Database) -> None:
    holder, worker = world.open_account(database), world.new_worker(database)
    running = world.take(database, worker, world.queued(database, holder, 2))
    (waiting,) = world.queued(database, holder)
    done = after_restore.settle(database, ACTION)
    assert (done.leases, done.jobs) == (1, 3)
    assert database.write_sync(lease.renew, worker) is None, "the worker finds its lease over"
    late = world.settle(database, *(world.good_end(one, 5) for one in running))
    assert set(late.verdicts.values()) == {"stale"}
    (_, deliveries) = database.write_sync(recovery.take_back)
    again = [world.row(database, one.id) for one in running]
    assert deliveries == [] and [row["status"] for row in again] == ["queued"] * 2
    assert min(row["lease_epoch"] for row in again) > disowning.EPOCHS
    assert [row["cohort"] for row in again] == [0, 0], "it tells against no job"
    held = world.take(database, world.new_worker(database), [one.id for one in running] + [waiting])
    assert min(one.epoch for one in held) > disowning.EPOCHS
    world.settle(database, *(world.good_end(one, 5) for one in held))
    assert world.violations(database) == []


def test_more_jobs_and_accounts_than_one_transaction_takes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disowning, "CHUNK", 2)
    monkeypatch.setattr(after_restore, "CHUNK", 2)
    holders = [world.open_account(database, test=n == 1) for n in range(3)]
    ids = [id for holder in holders for id in world.queued(database, holder, 3)]
    ends(database, holders[0], 2)
    done = after_restore.settle(database, ACTION)
    assert (done.jobs, done.accounts) == (9, 3)
    assert {world.row(database, id)["lease_epoch"] for id in ids} == {disowning.EPOCHS}
    assert {row["lease_epoch"] for row in world.rows(database, m.jobs, status="succeeded")} == {1}


def test_an_invoice_never_gets_a_number_that_another_may_have_had(database: Database) -> None:
    holder = world.open_account(database)

    def buy() -> int:
        wanted = NewPurchase(micros=1_000_000, provider="manual")
        return int(database.write_sync(purchases.create, holder.account_id, wanted)[0]["number"])

    assert [buy(), buy()] == [1, 2]
    done = after_restore.settle(database, ACTION)
    assert (done.last_invoice, done.next_invoice) == (2, 2001)
    assert buy() == 2001
    with pytest.raises(Conflict, match="at least"):
        after_restore.settle(database, ACTION, next_invoice=2001)
    assert after_restore.settle(database, ACTION, next_invoice=2005).next_invoice == 2005
    assert buy() == 2005
    assert database.write_sync(counters.last_number, NUMBERS) == 2005
    assert world.violations(database) == []
    entry = database.read_sync(audit.entries)[0]
    assert (entry["operator"], entry["action"]) == ("ann", "restored")
    assert entry["after"]["next_invoice_number"] == 2005


def test_nobody_is_signed_in_any_more(database: Database) -> None:
    holder = world.open_account(database)
    database.write_sync(lambda connection: console_sessions.begin(connection, key_id=holder.key_id))
    assert after_restore.settle(database, ACTION).sessions == 1
    assert world.rows(database, m.console_sessions) == []


def test_an_empty_database(database: Database) -> None:
    done = after_restore.settle(database, ACTION)
    assert (done.leases, done.jobs, done.accounts, done.last_invoice, done.sessions) == (0, 0, 0, 0, 0)
    assert world.violations(database) == []


def test_numbers_go_on_at_a_round_one() -> None:
    assert after_restore.beyond(0, 1, 1000) == 1000
    assert after_restore.beyond(120, 0, 1000) == 2000
    assert after_restore.beyond(1000, 5, 1000) == 2000
    assert after_restore.beyond(1001, 3500, 1000) == 5000
