"""Monthly statements: one for each account and month with single jobs charged, exactly what the ledger charged."""

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, update

from producer.operations.invoices import list_invoices
from producer.operations.pages import PageQuery
from shared import clock
from shared.audit import Action
from shared.db import Database, retention_marks
from shared.db import models as m
from shared.key_holders import KeyHolder
from shared.money import corrections, statements
from shared.money.ledger import Book
from shared.verify import verify
from tests.integration import batch_world, world
from tests.integration.batch_world import files_of_its_own  # noqa: F401
from workers.maintenance.statements import StatementMaker
from workers.maintenance.sweep import Sweeper

SINGLE_COLUMNS = [name for name in m.daily_usage.c.keys() if name.startswith(("single_", "batch_"))]


@pytest.fixture(autouse=True)
def own_time() -> Iterator[None]:
    with world.virtual_time():
        yield


def be(instant: str) -> None:
    """Make it that instant, UTC."""
    micros = round(datetime.fromisoformat(instant + "+00:00").timestamp() * clock.MICROS)
    clock.shift(micros - clock.now_micros())


def run(database: Database, holder: KeyHolder, charges: Sequence[int], model: str = "gpt-4") -> list[str]:
    """Single jobs that succeed at these charges, in micro-credits."""
    ids = world.queued(database, holder, len(charges), bound=0 if holder.test else max(charges))
    end(database, ids, charges, model)
    return ids


def end(database: Database, ids: Sequence[str], charges: Sequence[int], model: str) -> None:
    by_id = {job.id: job for job in world.take(database, world.new_worker(database), ids)}
    for id, charge in zip(ids, charges, strict=True):
        used = {"prompt_tokens": 5, "completion_tokens": 2, "provider": "openai"}
        world.settle(database, world.good_end(by_id[id], charge, model=model, **used))


def begin_batch(database: Database, holder: KeyHolder, lines: int) -> tuple[str, list[str]]:
    """A batch whose lines are jobs; its id, and theirs."""
    id = batch_world.new_batch(database, holder, [batch_world.chat(str(n)) for n in range(lines)])
    batch_world.take_turns(database)
    return id, batch_world.job_ids(database, id)


def sweep(database: Database) -> None:
    while StatementMaker(database).some():
        pass


def monthly(database: Database, holder: KeyHolder) -> dict[str, dict[str, Any]]:
    """The account's monthly statements, by month."""
    page = database.read_sync(list_invoices, holder.account_id, PageQuery(limit=100))
    return {row["period"]: row for row in page["data"] if row["period"] is not None}


def micros(credits: float) -> int:
    return round(credits * clock.MICROS)


def test_a_month_has_one_statement_once_it_is_over(database: Database) -> None:
    holder = world.open_account(database)
    be("2031-03-30T10:00:00")
    run(database, holder, [333_333, 1_000_001])
    run(database, holder, [7], model="claude-3-opus")
    be("2031-03-31T23:59:30")
    run(database, holder, [10])
    sweep(database)
    be("2031-04-01T00:00:00")
    run(database, holder, [2_000_000])
    sweep(database)
    be("2031-04-01T00:59:59")
    sweep(database)
    assert monthly(database, holder) == {}, "an hour of grace: what is committed late is not missed"
    be("2031-04-01T01:00:01")
    sweep(database)
    sweep(database)
    (made,) = monthly(database, holder).values()
    assert (made["period"], made["kind"], made["status"], made["batch_id"]) == ("2031-03", "statement", "paid", None)
    assert made["total"] == made["credits"] == 1.333351
    assert [(line["kind"], line["model"], line["jobs"], line["credits"]) for line in made["lines"]] == [
        ("usage", "claude-3-opus", 1, 0.000007),
        ("usage", "gpt-4", 3, 1.333344),
    ]
    assert [line["prompt_tokens"] for line in made["lines"]] == [5, 15]
    told = [one for one in world.events(database, holder.account_id) if one.startswith("invoice")]
    assert told == ["invoice.created", "invoice.paid"]
    be("2031-05-02T00:00:00")
    assert world.violations(database) == []
    assert {month: row["total"] for month, row in monthly(database, holder).items()} == {
        "2031-03": 1.333351,
        "2031-04": 2,
    }


def test_jobs_of_batches_are_on_the_statements_of_their_batches_alone(database: Database) -> None:
    holder = world.open_account(database)
    be("2031-03-31T12:00:00")
    batch, ids = begin_batch(database, holder, 3)
    run(database, holder, [50])
    end(database, ids[:1], [1000], "gpt-4")
    be("2031-04-01T00:10:00")
    end(database, ids[1:], [200, 30], "gpt-4")
    batch_world.take_turns(database)
    be("2031-05-01T12:00:00")
    sweep(database)
    assert {month: micros(row["total"]) for month, row in monthly(database, holder).items()} == {"2031-03": 50}
    ours = {row["batch_id"]: row["total_micros"] for row in world.rows(database, m.invoices)}
    assert ours == {None: 50, batch: 1230}
    assert world.violations(database) == []


def test_what_is_free_or_a_test_has_no_statement(database: Database) -> None:
    holder = world.open_account(database)
    be("2031-03-10T12:00:00")
    run(database, KeyHolder("key_test", holder.account_id, "test", None), [0, 0])
    run(database, holder, [0])
    be("2031-04-10T12:00:00")
    sweep(database)
    assert world.rows(database, m.invoices) == [] and world.violations(database) == []
    open_months = [row for row in world.rows(database, m.monthly_spend) if row["stated_at"] is None]
    assert [row["month"] for row in open_months if row["month"] < "2031-04"] == [], "they are not looked at again"


def as_an_older_version(database: Database, work: Any) -> None:
    """Do this as a worker would that does not tell single jobs from those of batches."""
    before = {tuple(row[key] for key in _KEYS): row for row in world.rows(database, m.daily_usage)}
    work()

    rows = world.rows(database, m.daily_usage)
    assert rows
    with database.engine.begin() as connection:
        for row in rows:
            key = tuple(row[name] for name in _KEYS)
            known = {name: before[key][name] if key in before else 0 for name in SINGLE_COLUMNS}
            named = [m.daily_usage.c[name] == value for name, value in zip(_KEYS, key, strict=True)]
            connection.execute(update(m.daily_usage).where(*named).values(known))


_KEYS = ("account_id", "day", "test", "model")


@pytest.mark.parametrize("kept", [True, False], ids=["jobs kept", "jobs gone"])
@pytest.mark.parametrize("batches", [True, False], ids=["beside a batch", "single alone"])
def test_what_older_workers_settled_is_on_the_statement(
    database: Database, monkeypatch: pytest.MonkeyPatch, kept: bool, batches: bool
) -> None:
    monkeypatch.setattr(statements, "PAGE", 1)
    holder = world.open_account(database)
    be("2031-03-10T12:00:00")
    _, ids = begin_batch(database, holder, 1) if batches else ("", [])

    def older() -> None:
        run(database, holder, [11, 22])
        run(database, holder, [33], model="claude-3-opus")
        end(database, ids, [5000] * len(ids), "gpt-4")

    as_an_older_version(database, older)
    run(database, holder, [100])
    be("2031-03-11T12:00:00")
    run(database, holder, [1000])
    batch_world.take_turns(database)
    be("2031-04-01T12:00:00")
    if not kept:
        database.write_sync(retention_marks.raise_to, "jobs", clock.now_micros() - 1)
        database.write_sync(lambda connection: [connection.execute(table.delete()) for table in _OF_JOBS])
    sweep(database)
    made = monthly(database, holder)["2031-03"]
    assert micros(made["total"]) == 1166 == sum(micros(line["credits"]) for line in made["lines"])
    lines = {line["model"]: (line["jobs"], micros(line["credits"])) for line in made["lines"]}
    if kept or not batches:
        assert lines == {"claude-3-opus": (1, 33), "gpt-4": (4, 1133)}
    else:
        assert lines == {"gpt-4": (1, 1000), None: (4, 166)}, "of which models they were is not known any more"
    assert sum(jobs for jobs, _ in lines.values()) == 5
    assert world.violations(database) == []


_OF_JOBS = (m.job_payloads, m.job_results, m.jobs)


def test_what_was_given_back_or_corrected_is_on_the_statement_of_its_month(database: Database) -> None:
    holder = world.open_account(database)
    be("2031-03-10T12:00:00")
    job, other = run(database, holder, [1000, 50])
    be("2031-04-10T12:00:00")
    run(database, holder, [300])
    refund, adjust = (Action("ops", f"credits.{name}", "a mistake of ours") for name in ("refund", "adjust"))
    database.write_sync(corrections.refund, refund, job, 400)
    database.write_sync(corrections.refund, refund, other)
    database.write_sync(corrections.adjust, adjust, holder.account_id, 7)
    database.write_sync(corrections.adjust, adjust, holder.account_id, -2)
    be("2031-05-10T12:00:00")
    database.write_sync(corrections.refund, refund, job, 600)
    be("2031-06-10T12:00:00")
    sweep(database)
    made = monthly(database, holder)
    assert micros(made["2031-03"]["total"]) == 1050
    lines = [(line["kind"], line["description"], micros(line["credits"])) for line in made["2031-04"]["lines"]]
    assert lines == [
        ("usage", "gpt-4", 300),
        ("refund", "Refunds (2)", -450),
        ("adjustment", "Adjustments (1)", -7),
        ("adjustment", "Adjustments (1)", 2),
    ]
    assert micros(made["2031-04"]["total"]) == -155
    assert micros(made["2031-05"]["total"]) == -600, "a month in which nothing was charged, only given back"
    assert world.violations(database) == []


DAYS = ("2031-01-31T23:59:59.900000", "2031-02-01T00:00:00", "2031-02-28T23:59:59", "2031-03-01T00:00:01")
JOBS = st.tuples(
    st.sampled_from(["gpt-4", "claude-3-opus", "gemini-pro"]), st.integers(0, 10**7), st.booleans(), st.booleans()
)


@given(days=st.tuples(*(st.lists(JOBS, max_size=3) for _ in DAYS)))
@hypothesis_settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True
)
def test_statements_of_months_and_batches_are_what_the_ledger_charged(database: Database, days: Any) -> None:
    world.wipe(database)
    with world.virtual_time():
        holder = world.open_account(database)
        be("2031-01-31T12:00:00")
        in_batches = sum(of_batch for jobs in days for _, _, of_batch, _ in jobs)
        _, waiting = begin_batch(database, holder, in_batches) if in_batches else ("", [])
        for instant, jobs in zip(DAYS, days, strict=True):
            for model, charge, of_batch, older in jobs:
                be(instant)
                ids = [waiting.pop()] if of_batch else world.queued(database, holder, bound=charge)
                bound = world.rows(database, m.jobs, id=ids[0])[0]["bound_micros"]

                def work(ids: Any = ids, charge: int = min(charge, bound), model: str = model) -> None:
                    end(database, ids, [charge], model)

                as_an_older_version(database, work) if older else work()
        batch_world.take_turns(database)
        be("2031-04-02T00:00:00")
        sweep(database)
        charged: dict[str, int] = {}
        for row in world.rows(database, m.transfers, kind="charge"):
            month = clock.month(row["created_at"])
            charged[month] = charged.get(month, 0) + row["amount_micros"]
        invoices = world.rows(database, m.invoices)
        assert sum(row["total_micros"] for row in invoices) == sum(charged.values())
        for month, row in monthly(database, holder).items():
            assert micros(row["total"]) == sum(micros(line["credits"]) for line in row["lines"]) <= charged[month]
        assert world.violations(database) == []


def test_many_makers_at_once_make_each_statement_once_and_leave_no_gap(database: Database) -> None:
    be("2031-03-10T12:00:00")
    holders = [world.open_account(database) for _ in range(6)]
    for number, holder in enumerate(holders):
        run(database, holder, [number + 1])
    be("2031-04-02T12:00:00")
    failed: list[BaseException] = []

    def work() -> None:
        try:
            sweep(database)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    rows = world.rows(database, m.invoices)
    assert sorted(row["number"] for row in rows) == list(range(1, 7))
    assert {row["account_id"]: row["total_micros"] for row in rows} == {
        holder.account_id: number + 1 for number, holder in enumerate(holders)
    }
    for holder in holders:
        told = [one for one in world.events(database, holder.account_id) if one.startswith("invoice")]
        assert told == ["invoice.created", "invoice.paid"]
    assert world.violations(database) == []


class Killed(BaseException):
    """The process ends here."""


def test_a_maker_killed_between_any_two_statements_leaves_nothing_or_all(database: Database) -> None:
    """Each time it dies one SQL statement later; the numbers have no gap, and each month is stated once."""
    be("2031-03-10T12:00:00")
    holder, other = world.open_account(database), world.open_account(database)
    run(database, holder, [5])
    run(database, other, [7])
    be("2031-04-02T12:00:00")
    (month, _) = sorted(database.read_sync(statements.due, 9), key=lambda one: one.account_id != holder.account_id)[:2]
    lines = database.read_sync(statements.read, month)
    for died_at in range(1, 100):
        left = died_at

        def count(*_: Any) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise Killed

        event.listen(database.engine, "before_cursor_execute", count)
        try:
            made = database.write_sync(statements.close, month, lines)
        except Killed:
            assert world.rows(database, m.invoices) == []
            continue
        finally:
            event.remove(database.engine, "before_cursor_execute", count)
        assert made is not None
        break
    assert 5 < died_at < 99
    assert database.write_sync(statements.close, month, lines) is None, "a second time finds it made"
    sweep(database)
    assert sorted(row["number"] for row in world.rows(database, m.invoices)) == [1, 2]
    assert world.violations(database) == []


def test_a_month_in_which_something_was_charged_meanwhile_is_read_again(database: Database) -> None:
    holder = world.open_account(database)
    be("2031-03-10T12:00:00")
    run(database, holder, [5])
    be("2031-04-02T12:00:00")
    month = database.read_sync(statements.due, 9)[-1]
    lines = database.read_sync(statements.read, month)
    be("2031-03-10T12:00:01")
    run(database, holder, [6])
    be("2031-04-02T12:00:00")
    assert database.write_sync(statements.close, month, lines) is None
    sweep(database)
    assert micros(monthly(database, holder)["2031-03"]["total"]) == 11


def test_a_month_that_cannot_be_stated_holds_up_no_other(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    be("2031-03-10T12:00:00")
    holders = [world.open_account(database) for _ in range(3)]
    for holder in holders:
        run(database, holder, [5])
    be("2031-04-02T12:00:00")
    bad, read = holders[0].account_id, statements.read

    def fail(connection: Connection, month: statements.Month) -> Any:
        if month.account_id == bad:
            raise ValueError("broken row")
        return read(connection, month)

    monkeypatch.setattr(statements, "read", fail)
    maker = StatementMaker(database)
    maker.some()
    maker.some()
    assert {row["account_id"] for row in world.rows(database, m.invoices)} == {one.account_id for one in holders[1:]}


def test_a_charge_that_no_statement_has_is_a_violation(database: Database) -> None:
    holder = world.open_account(database)
    be("2031-03-10T12:00:00")
    run(database, holder, [5])
    be("2031-04-02T12:00:00")
    sweep(database)
    be("2031-03-11T12:00:00")
    run(database, holder, [6])
    be("2031-04-02T12:00:00")
    (found,) = world.violations(database)
    assert "stated=5, charged=11" in found and holder.account_id in found


def test_the_statement_waits_for_the_accounts_lock(database: Database) -> None:
    """What is being settled when the month is closed comes before, or finds another month."""
    if database.is_sqlite:
        return  # one writer at a time
    holder = world.open_account(database)
    be("2031-03-10T12:00:00")
    run(database, holder, [5])
    be("2031-04-02T12:00:00")
    month = database.read_sync(statements.due, 9)[-1]
    with database.engine.begin() as connection:
        Book(connection, [holder.account_id])
        thread = threading.Thread(
            target=database.write_sync, args=(statements.close, month, database.read_sync(statements.read, month))
        )
        thread.start()
        assert world.rows(database, m.invoices) == []
    thread.join()
    assert len(world.rows(database, m.invoices)) == 1


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE invoices SET period = '2031-02' WHERE period IS NOT NULL", "not over, or not closed"),
        ("UPDATE invoices SET created_at = 1 WHERE period IS NOT NULL", "not over, or not closed"),
        ("UPDATE invoices SET period = NULL WHERE period IS NOT NULL", "of neither a month nor a batch"),
        ("UPDATE invoices SET batch_id = (SELECT id FROM batches) WHERE period IS NOT NULL", "or of both"),
        ("UPDATE invoices SET total_micros = 4, lines = replace(lines, '5e-06', '4e-06')", "stated=4, charged=5"),
        ("UPDATE monthly_spend SET stated_at = NULL", "month is over and not closed"),
        ("UPDATE batches SET charged_micros = charged_micros + 1", "charges of jobs of batches differ"),
    ],
)
def test_a_statement_that_was_meddled_with_is_a_violation(database: Database, change: str, found: str) -> None:
    holder = world.open_account(database)
    be("2031-03-10T12:00:00")
    run(database, holder, [5])
    _, ids = begin_batch(database, holder, 1)
    end(database, ids, [9], "gpt-4")
    be("2031-04-10T12:00:00")
    assert world.violations(database) == []
    with database.engine.begin() as connection:
        connection.exec_driver_sql(change)
    assert [line for line in database.read_sync(verify) if found in line]


def test_sweepers_make_them_beside_their_other_chores(database: Database) -> None:
    holder = world.open_account(database)
    be("2031-03-10T12:00:00")
    run(database, holder, [5])
    be("2031-04-10T12:00:00")
    sweepers = [Sweeper(database, world.RecordedBell()) for _ in range(2)]
    threads = [threading.Thread(target=sweeper.run_once) for sweeper in sweepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [micros(row["total"]) for row in monthly(database, holder).values()] == [5]
    assert world.violations(database) == []
