"""Usage adds up: by day and model it is what the ledger charged, by row it is what each job was charged."""

import asyncio
import csv
import io
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from producer import objects
from producer.operations import usage, usage_csv
from producer.operations.pages import PageQuery
from producer.operations.usage import Period, Selection, read_period
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.errors import InvalidRequest
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from tests.integration import world
from tests.integration.world import CREDIT

SECOND = clock.MICROS
DAY = 86_400 * SECOND


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ids begin anew with each test's time, however far another test had moved it."""
    monkeypatch.setattr(clock, "_last_id", 0)
    with world.virtual_time():
        yield


def be(instant: str) -> None:
    """Make it that instant, UTC."""
    micros = int(datetime.fromisoformat(instant + "+00:00").timestamp()) * SECOND
    clock.shift(micros - clock.now_micros())


def run(
    database: Database, holder: KeyHolder, charges: Sequence[int], *, model: str | None = "gpt-4", **more: Any
) -> list[str]:
    """Jobs that succeed, one after another, at these charges in micro-credits; their ids, oldest first."""
    ids = world.queued(database, holder, len(charges), bound=0 if holder.test else max(charges))
    by_id = {job.id: job for job in world.take(database, world.new_worker(database), ids)}
    for id, charge in zip(ids, charges, strict=True):
        tokens = {"prompt_tokens": 5, "completion_tokens": 2, "provider": "openai", **more}
        world.settle(database, world.good_end(by_id[id], charge, model=model, **tokens))
    return ids


def select(holder: KeyHolder, period: Period | None = None, **more: Any) -> Selection:
    return Selection(holder.account_id, holder.test, period or read_period(None, None), **more)


def asked(database: Database, wanted: Selection, **more: Any) -> dict[str, Any]:
    return asyncio.run(usage.page(database, wanted, PageQuery(**more)))


def test_a_row_has_the_details_that_are_known(database: Database) -> None:
    holder = world.open_account(database)
    run(database, holder, [7], cached_tokens=4, reasoning_tokens=0)
    run(database, holder, [7], estimated=True)
    estimated, told = asked(database, select(holder))["data"]
    assert told["prompt_tokens_details"] == {"cached_tokens": 4} and "estimated" not in told
    assert told["completion_tokens_details"] == {"reasoning_tokens": 0}
    assert estimated["estimated"] is True and not {name for name in estimated if name.endswith("details")}
    cells = [
        (row["cached_tokens"], row["reasoning_tokens"], row["estimated"]) for row in as_csv(database, select(holder))
    ]
    assert cells == [("4", "0", "false"), ("", "", "true")]


def every(database: Database, wanted: Selection, limit: int, order: Any = "desc") -> list[dict[str, Any]]:
    """All rows, page by page."""
    found = asked(database, wanted, limit=limit, order=order)
    rows = list(found["data"])
    while found["has_more"]:
        assert len(found["data"]) == limit and found["last_id"] == rows[-1]["id"]
        found = asked(database, wanted, limit=limit, order=order, after=found["last_id"])
        rows += found["data"]
    return rows


def as_csv(database: Database, wanted: Selection) -> list[dict[str, str]]:
    async def collect() -> str:
        return "".join([chunk async for chunk in usage_csv.chunks(database, wanted)])

    text = asyncio.run(collect())
    assert text.count("\r\n") >= 1 and text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def micros(value: Any) -> int:
    """Credits as they are shown, in micro-credits, exactly."""
    whole = Decimal(str(value)) * CREDIT
    assert whole == int(whole)
    return int(whole)


def test_each_day_is_what_the_ledger_charged_on_it(database: Database) -> None:
    live = world.open_account(database)
    test = KeyHolder("key_test", live.account_id, "test", None)
    stranger = world.open_account(database)
    for instant in ("2031-01-31T23:59:30", "2031-02-01T00:00:00", "2031-02-28T12:00:00"):
        be(instant)
        run(database, live, [333_333, 1, 2_000_000], model="gpt-4")
        run(database, live, [7, 0], model="claude-3-opus")
        run(database, test, [0, 0])
        run(database, stranger, [11])
    charged: defaultdict[str, int] = defaultdict(int)
    for transfer in world.rows(database, m.transfers, account_id=live.account_id, kind="charge"):
        charged[str(clock.utc(transfer["created_at"]).date())] += transfer["amount_micros"]
    assert set(charged.values()) == {2_333_341} and len(charged) == 3
    for day, total in charged.items():
        found = asked(database, select(live, read_period(day, day)))
        assert micros(found["credits_used"]) == total
        assert sum(micros(row["credits_used"]) for row in found["data"]) == total and len(found["data"]) == 5
        assert found["top_models"] == [
            {"model": "gpt-4", "credits": 2.333334}, {"model": "claude-3-opus", "credits": 0.000007}
        ]  # fmt: skip
        assert {str(clock.utc(row["created_at"] * SECOND).date()) for row in found["data"]} == {day}
    spent = {row["month"]: row["spent_micros"] for row in world.rows(database, m.monthly_spend, **of(live))}
    for month, days in (("2031-01", 31), ("2031-02", 28)):
        found = asked(database, select(live, read_period(f"{month}-01", f"{month}-{days}")))
        assert micros(found["credits_used"]) == spent[month]
    assert world.violations(database) == []


def of(holder: KeyHolder) -> dict[str, str]:
    return {"account_id": holder.account_id}


def test_test_and_live_keys_and_other_accounts_see_only_their_own(database: Database) -> None:
    live = world.open_account(database)
    test = KeyHolder("key_test", live.account_id, "test", None)
    ids = {"live": run(database, live, [5, 6]), "test": run(database, test, [0, 0])}
    for holder in (live, test):
        found = asked(database, select(holder))
        assert [row["job_id"] for row in found["data"]] == ids[holder.mode][::-1]
        assert {row.get("test", False) for row in found["data"]} == {holder.test}
        assert {row["test"] for row in as_csv(database, select(holder))} == {"true" if holder.test else "false"}
        assert micros(found["credits_used"]) == (0 if holder.test else 11)
        assert [row["model"] for row in found["top_models"]] == ["gpt-4"]
    stranger = world.open_account(database)
    found = asked(database, select(stranger))
    assert found["data"] == found["top_models"] == as_csv(database, select(stranger)) == []
    assert (found["credits_used"], found["first_id"], found["last_id"], found["has_more"]) == (0, None, None, False)
    at = objects.usage_id(ids["live"][1])
    assert asked(database, select(stranger), after=at)["data"] == []


def test_a_row_says_what_a_job_used(database: Database) -> None:
    holder = world.open_account(database)
    (id,) = run(database, holder, [1_500_000], images=3)
    found = asked(database, select(holder))
    job = world.row(database, id)
    assert found["data"] == [
        {
            "id": "usage_" + id.removeprefix("job_"),
            "object": "usage",
            "created_at": job["finished_at"] // SECOND,
            "job_id": id,
            "batch_id": None,
            "key_id": holder.key_id,
            "type": "chat.completion",
            "model": "gpt-4",
            "provider": "openai",
            "prompt_tokens": 5,
            "completion_tokens": 2,
            "total_tokens": 7,
            "images": 3,
            "credits_used": 1.5,
        }
    ]


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("scanned", [1, 2, 1000])
def test_pages_give_each_row_once_among_jobs_that_have_none(
    database: Database, monkeypatch: pytest.MonkeyPatch, scanned: int, order: str
) -> None:
    monkeypatch.setattr(usage, "MOST_SCANNED", scanned)
    holder = world.open_account(database)
    test = KeyHolder("key_test", holder.account_id, "test", None)
    wanted, ids = select(holder), []
    for charge in range(1, 5):
        ids += run(database, holder, [charge])
        world.queued(database, holder)
        (failing,) = world.take(database, world.new_worker(database), world.queued(database, holder, bound=9))
        world.settle(database, Ending(failing.id, failing.epoch, "failed"))
        run(database, test, [0, 0])
    expected = ids if order == "asc" else ids[::-1]
    for limit in (1, 2, 3, 4, 5):
        assert [row["job_id"] for row in every(database, wanted, limit, order)] == expected
    exact = asked(database, wanted, limit=4)
    assert len(exact["data"]) == 4 and exact["has_more"] is False
    assert asked(database, wanted, limit=3)["has_more"] is True
    assert [row["job_id"] for row in as_csv(database, wanted)] == ids


def test_no_transaction_looks_at_more_jobs_than_it_may(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = world.open_account(database)
    run(database, holder, [1] * 7)
    monkeypatch.setattr(usage, "MOST_SCANNED", 3)

    async def sizes() -> list[int]:
        return [len(rows) async for rows in usage.pages(database, select(holder))]

    assert asyncio.run(sizes()) == [3, 3, 1]


def test_a_job_counts_on_the_day_it_ended_however_long_it_took(database: Database) -> None:
    holder = world.open_account(database)
    be("2031-03-01T10:00:00")
    (id,) = world.queued(database, holder, bound=9)
    be("2031-03-08T23:00:00")
    (job,) = world.take(database, world.new_worker(database), [id])
    world.settle(database, world.good_end(job, 9))
    be("2031-03-20T00:00:00")
    run(database, holder, [1])
    assert [
        row["job_id"] for row in asked(database, select(holder, read_period("2031-03-08", "2031-03-08")))["data"]
    ] == [id]
    assert asked(database, select(holder, read_period("2031-03-01", "2031-03-07")))["data"] == []
    assert asked(database, select(holder, read_period("2031-03-09", "2031-03-19")))["data"] == []


def test_a_job_whose_answer_names_no_model_counts_under_the_one_asked_for(database: Database) -> None:
    holder = world.open_account(database)
    run(database, holder, [4], model=None)
    found = asked(database, select(holder, model="gpt-4"))
    assert [row["model"] for row in found["data"]] == ["gpt-4"] and micros(found["credits_used"]) == 4


def test_filters_hold_for_sums_rows_and_csv_alike(database: Database) -> None:
    holder, stranger = world.open_account(database), world.open_account(database)
    be("2031-05-10T10:00:00")
    in_batch = run(database, holder, [1, 10], model="gpt-4") + run(database, holder, [100], model="gemini-pro")
    run(database, holder, [1000], model="gemini-pro")
    be("2031-05-12T10:00:00")
    in_batch += run(database, holder, [10_000], model="gemini-pro")
    for id in in_batch:
        world.change(database, id, batch_id="batch_1")
    for filters, first, total, count in (
        ({"model": "gpt-4"}, 1, 11, 2),
        ({"model": "gemini-pro"}, 1, 11_100, 3),
        ({"batch_id": "batch_1"}, 1, 10_111, 4),
        ({"batch_id": "batch_1"}, 11, 10_000, 1),
        ({"batch_id": "batch_1", "model": "gemini-pro"}, 1, 10_100, 2),
        ({"batch_id": "batch_1", "model": "claude-3-opus"}, 1, 0, 0),
        ({"batch_id": "batch_2"}, 1, 0, 0),
        ({"model": "none"}, 1, 0, 0),
    ):
        wanted = select(holder, read_period(f"2031-05-{first:02}", "2031-05-12"), **filters)
        found, lines = asked(database, wanted), as_csv(database, wanted)
        assert micros(found["credits_used"]) == total, filters
        assert sum(micros(row["credits_used"]) for row in found["data"]) == total
        assert sum(micros(line["credits_used"]) for line in lines) == total
        assert len(found["data"]) == len(lines) == count == len(every(database, wanted, 1))
        assert sum(micros(row["credits"]) for row in found["top_models"]) == total
        alien = Selection(stranger.account_id, False, wanted.period, wanted.model, wanted.batch_id)
        assert asked(database, alien)["data"] == asked(database, alien)["top_models"] == []


def test_csv_is_read_back_exactly(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MOST_SCANNED", 10)
    holder = world.open_account(database)
    charges = [n * 333_333 + 1 for n in range(35)]
    ids = run(database, holder, charges)
    names = ['say "hi", twice\r\nthen go', "=1+1", "plain-1", "ünï;日本"]
    for id, name in zip(ids, names, strict=False):
        world.change(database, id, custom_id=name, batch_id="batch_1")
    lines, found = as_csv(database, select(holder)), asked(database, select(holder))
    assert tuple(lines[0]) == usage_csv.COLUMNS
    assert [line["job_id"] for line in lines] == ids and found["has_more"]
    assert [micros(line["credits_used"]) for line in lines] == charges
    total = sum(Decimal(line["credits_used"]) for line in lines)
    assert total == Decimal(str(found["credits_used"])) == Decimal(sum(charges)) / CREDIT
    assert [line["custom_id"] for line in lines[:5]] == [names[0], "'=1+1", *names[2:], ""]
    first = lines[0]
    assert (
        datetime.fromisoformat(first["created_at"]).timestamp() == world.row(database, ids[0])["finished_at"] // SECOND
    )
    assert {name: first[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens", "images")} == {
        "prompt_tokens": "5", "completion_tokens": "2", "total_tokens": "7", "images": "0"
    }  # fmt: skip


def settle_in_groups(url: str, groups: Sequence[Sequence[Ending]], start: Any) -> None:
    """What one of two processes does."""
    database = Database(url)
    start.wait(60)
    for endings in groups:
        world.settle(database, *endings)
    database.close()


def test_what_two_processes_settle_at_once_adds_up(database: Database, database_url: str) -> None:
    holder = world.open_account(database)
    ids = world.queued(database, holder, 120, bound=200)
    jobs = world.take(database, world.new_worker(database), ids)
    models = ("gpt-4", "gemini-pro", "claude-3-opus")
    endings = [
        world.good_end(job, n, model=models[n % 3], prompt_tokens=n, completion_tokens=1, images=2)
        for n, job in enumerate(jobs)
    ]
    endings = world.priced(database, endings)
    groups = [endings[at : at + 4] for at in range(0, len(endings), 4)]
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    other = spawn.Process(target=settle_in_groups, args=(database_url, groups[1::2], start))
    other.start()
    settle_in_groups(database_url, groups[::2], start)
    other.join(60)
    assert other.exitcode == 0
    other.close()
    rows = world.rows(database, m.daily_usage, account_id=holder.account_id)
    charged = sum(row["amount_micros"] for row in world.rows(database, m.transfers, kind="charge"))
    assert sum(row["charged_micros"] for row in rows) == charged == sum(range(120))
    assert sum(row["prompt_tokens"] for row in rows) == sum(range(120))
    assert [sum(row[name] for row in rows) for name in ("jobs", "completion_tokens", "images")] == [120, 120, 240]
    assert {row["model"] for row in rows} == set(models) and len(rows) <= 6
    today = clock.utc(clock.now_micros()).date()
    wanted = select(holder, read_period(str(date.fromordinal(today.toordinal() - 1)), str(today)))
    assert micros(asked(database, wanted)["credits_used"]) == charged
    assert len(as_csv(database, wanted)) == 120 and world.violations(database) == []


def test_the_ends_of_time_are_asked_for_without_harm(database: Database) -> None:
    holder = world.open_account(database)
    run(database, holder, [1])
    for day in ("0001-01-01", "1969-12-31", "9999-12-31"):
        assert asked(database, select(holder, read_period(day, day)))["data"] == []


@pytest.mark.parametrize(
    "after", ["job_" + "0" * 32, "usage_" + "0" * 65, "usage_" + "G" * 32, "usage_%", "", "usage_"]
)
def test_an_after_that_has_no_rows_form_is_refused(database: Database, after: str) -> None:
    holder = world.open_account(database)
    with pytest.raises(InvalidRequest) as refused:
        asked(database, select(holder), after=after)
    assert refused.value.param == "after"


def test_an_after_of_the_form_is_a_place_though_no_row_is_there(database: Database) -> None:
    """The documentation's own example asks for what follows `usage_abc123`."""
    holder = world.open_account(database)
    run(database, holder, [1, 1])
    everything = asked(database, select(holder))["data"]
    assert len(everything) == 2
    assert asked(database, select(holder), after="usage_abc123")["data"] == everything
    assert asked(database, select(holder), after="usage_00")["data"] == []


def test_an_after_that_is_of_no_row_is_a_place_in_the_order(database: Database) -> None:
    holder = world.open_account(database)
    ids = run(database, holder, [1, 2, 3])
    assert len(asked(database, select(holder), after="usage_" + "f" * 32)["data"]) == 3
    assert asked(database, select(holder), after="usage_" + "0" * 32)["data"] == []
    between = next(low[4:] for low, high in pairwise(ids) if low < high)
    cut = f"usage_{int(between, 16) + 1:032x}"
    assert len(asked(database, select(holder), after=cut)["data"]) == ids.index("job_" + between) + 1


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
def test_days_are_utc_wherever_the_server_is_and_add_up(
    database: Database, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs on both sides of a midnight: single days are the range, as JSON, as CSV, and in the ledger."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        holder = world.open_account(database)
        instants = {"2031-03-16T23:59:59": 17, "2031-03-17T00:00:00": 400_000, "2031-03-17T11:59:00": 3}
        for instant, charge in instants.items():
            be(instant)
            run(database, holder, [charge, charge + 1])
        days = ["2031-03-15", "2031-03-16", "2031-03-17", "2031-03-18"]
        single = [micros(asked(database, select(holder, read_period(day, day)))["credits_used"]) for day in days]
        whole = select(holder, read_period(days[0], days[-1]))
        assert single == [0, 35, 800_008, 0] and micros(asked(database, whole)["credits_used"]) == sum(single)
        assert sum(micros(row["credits_used"]) for row in as_csv(database, whole)) == sum(single)
        assert [row["created_at"][:10] for row in as_csv(database, whole)] == [days[1]] * 2 + [days[2]] * 4
        charges = world.rows(database, m.transfers, kind="charge", **of(holder))
        assert sum(row["amount_micros"] for row in charges) == sum(single)
        theirs = asked(database, select(holder, read_period("2031-03-18", None)))
        assert theirs["data"] == [] and theirs["period"] == {"from": days[3], "to": days[3], "timezone": "UTC"}
        assert world.violations(database) == []
    finally:
        monkeypatch.undo()
        time.tzset()
