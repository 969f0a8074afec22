"""Usage in groups adds up: by model, key and day from kept sums, by label from the jobs; bounded; after retention."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete

from producer.operations import usage_groups
from producer.operations.pages import PageQuery
from producer.operations.usage import Selection, read_period
from shared import accounts, clock, key_holders
from shared.db import Database, retention_marks
from shared.db import models as m
from shared.errors import InvalidRequest, RateLimited
from shared.key_holders import KeyHolder
from tests.integration import world


def another_key(database: Database, holder: KeyHolder, name: str) -> KeyHolder:
    """A second live key of the same account."""

    def make(connection: Any) -> KeyHolder:
        found = key_holders.find_key(
            connection, accounts.create_key(connection, holder.account_id, "live", name=name)[1]
        )
        assert found is not None
        return found

    return database.write_sync(make)


def run(database: Database, holder: KeyHolder, charge: int, *, model: str = "gpt-4", **labels: str) -> str:
    """A job that has succeeded."""
    prepared = world.order(database, holder, bound=charge)
    prepared.payloads[0]["labels"] = usage_groups.orjson.dumps(labels).decode() if labels else None
    world.accept_all(database, [prepared])
    id = str(prepared.rows[0]["id"])
    (job,) = world.take(database, world.new_worker(database), [id])
    used = {"prompt_tokens": 5, "completion_tokens": 2, "provider": "openai", "model": model}
    world.settle(database, world.good_end(job, charge, **used))
    return id


def asked(database: Database, holder: KeyHolder, by: str, *, batch_id: str | None = None, **more: Any) -> Any:
    wanted = Selection(holder.account_id, holder.test, read_period(None, None), batch_id=batch_id)
    query = PageQuery(**{"order": "asc", "limit": 100, **more})
    return asyncio.run(usage_groups.page(database, wanted, usage_groups.read_dimensions(by), query))


def sums(report: Any, *names: str) -> dict[Any, tuple[int, float]]:
    """Jobs and micro-credits, by what groups have in common."""
    found = {}
    for group in report["data"]:
        values = tuple(group["metadata"][name[9:]] if name.startswith("metadata.") else group[name] for name in names)
        found[values if len(values) > 1 else values[0]] = (group["jobs"], round(group["credits_used"] * 1e6))
    return found


def test_groups_by_model_key_and_day_add_up(database: Database) -> None:
    one = world.open_account(database)
    two = another_key(database, one, "team b")
    for holder, charge, model in ((one, 3, "gpt-4"), (two, 5, "gpt-4"), (two, 7, "claude-3-opus")):
        run(database, holder, charge, model=model)
    by_key = asked(database, one, "key")
    assert sums(by_key, "key_id") == {one.key_id: (1, 3), two.key_id: (2, 12)}
    assert {group["key_name"] for group in by_key["data"]} == {"", "team b"}
    assert by_key["credits_used"] == 0.000015 and by_key["unattributed_credits"] == 0
    assert sums(asked(database, one, "model"), "model") == {"gpt-4": (2, 8), "claude-3-opus": (1, 7)}
    today = clock.utc(clock.now_micros()).strftime("%Y-%m-%d")
    both = asked(database, one, "day,key,model")
    assert sums(both, "day", "model", "key_id")[today, "gpt-4", two.key_id] == (1, 5)
    assert len(both["data"]) == 3 and both["group_by"] == ["day", "key", "model"]
    assert not world.violations(database)


def test_what_an_earlier_version_settled_has_no_key(database: Database) -> None:
    one = world.open_account(database)
    run(database, one, 3)
    database.write_sync(lambda connection: connection.execute(delete(m.key_usage)).rowcount)
    run(database, one, 4)
    assert sums(asked(database, one, "key"), "key_id") == {None: (1, 3), one.key_id: (1, 4)}
    assert not world.violations(database)


def test_groups_by_label_alone_and_with_others(database: Database) -> None:
    one = world.open_account(database)
    two = another_key(database, one, "b")
    odd = 'a"b\\c.$'
    run(database, one, 1, team="red")
    run(database, one, 2, team="red", **{odd: "x"})
    run(database, two, 4, team="blue")
    run(database, two, 8)
    assert sums(asked(database, one, "metadata.team"), "metadata.team") == {"red": (2, 3), "blue": (1, 4), None: (1, 8)}
    named = f"metadata.{odd}"
    assert sums(asked(database, one, named), named) == {"x": (1, 2), None: (3, 13)}
    both = sums(asked(database, one, "metadata.team,key"), "metadata.team", "key_id")
    assert both == {("red", one.key_id): (2, 3), ("blue", two.key_id): (1, 4), (None, two.key_id): (1, 8)}


def test_pages_go_on_where_the_last_ended(database: Database) -> None:
    one = world.open_account(database)
    for number in range(7):
        run(database, one, 1, number=str(number))
    seen, after = [], None
    while True:
        page = asked(database, one, "metadata.number", limit=3, after=after)
        seen += [group["metadata"]["number"] for group in page["data"]]
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert seen == [str(number) for number in range(7)]
    with pytest.raises(InvalidRequest, match="last_id"):
        asked(database, one, "metadata.number", after="usage_group_00")


def test_many_slices_are_one_answer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_groups, "SLICE", 2)
    one = world.open_account(database)
    for number in range(5):
        run(database, one, 1, team=str(number % 2))
    assert sums(asked(database, one, "metadata.team"), "metadata.team") == {"0": (3, 3), "1": (2, 2)}
    monkeypatch.setattr(usage_groups, "MOST_JOBS", 4)
    with pytest.raises(InvalidRequest, match="shorter period"):
        asked(database, one, "metadata.team")
    monkeypatch.setattr(usage_groups, "MOST_GROUPS", 1)
    with pytest.raises(InvalidRequest, match="more than 1 groups"):
        asked(database, one, "metadata.team")


def test_sums_outlive_the_jobs_and_labels_do_not(database: Database) -> None:
    one = world.open_account(database)
    gone = run(database, one, 3, team="red")
    run(database, one, 4, team="red")

    def remove(connection: Any) -> None:
        for table, id in ((m.job_payloads, "job_id"), (m.job_results, "job_id"), (m.jobs, "id")):
            connection.execute(delete(table).where(table.c[id] == gone))
        retention_marks.raise_to(connection, "jobs", clock.now_micros())

    database.write_sync(remove)
    report = asked(database, one, "metadata.team")
    assert sums(report, "metadata.team") == {"red": (1, 4)}
    assert report["credits_used"] == 0.000007 and report["unattributed_credits"] == 0.000003
    assert sums(asked(database, one, "key"), "key_id") == {one.key_id: (2, 7)}


@pytest.mark.parametrize("by", ["", "team", "model,model", "metadata.", "key,", "model,key,day,metadata.a,metadata.b"])
def test_what_cannot_be_grouped_by_is_a_400(by: str) -> None:
    with pytest.raises(InvalidRequest, match="group_by"):
        usage_groups.read_dimensions(by)


def test_an_account_has_a_few_looked_at_at_a_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one with a million jobs keeps the database's readers from everybody."""
    monkeypatch.setattr(usage_groups, "MOST_AT_ONCE", 1)
    busy, other = world.open_account(database), world.open_account(database)
    run(database, busy, 3, team="a")

    async def main() -> list[Any]:
        asking = [
            usage_groups.grouped(database, Selection(one.account_id, False, read_period(None, None)), (by,))
            for one, by in ((busy, "metadata.team"), (busy, "metadata.team"), (busy, "model"), (other, "metadata.team"))
        ]
        return await asyncio.gather(*asking, return_exceptions=True)

    first, second, of_sums, of_other = asyncio.run(main())
    assert isinstance(second, RateLimited) and not any(isinstance(x, Exception) for x in (first, of_sums, of_other))
    assert sums(asked(database, busy, "metadata.team"), "metadata.team") == {"a": (1, 3)}
