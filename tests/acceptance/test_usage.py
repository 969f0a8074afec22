"""GET /usage over HTTP: sums and rows as the ledger has them, CSV to the last row, clear refusals, nobody else's."""

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from shared import clock
from tests.acceptance.stack import Account, chat, embedding, image
from tests.acceptance.test_every_route import check


def today() -> Any:
    return clock.utc(clock.now_micros()).date()


#: Wide enough for a test that runs past midnight, or past the end of a month.
def lately() -> dict[str, str]:
    return {"from": str(today() - timedelta(days=2)), "to": str(today() + timedelta(days=1))}


def period() -> dict[str, str]:
    return {**lately(), "timezone": "UTC"}


def used(account: Account, **params: Any) -> dict[str, Any]:
    answer = account.live.get("/usage", params={**lately(), **params})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def parsed(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def worked(account: Account) -> list[dict[str, Any]]:
    """Jobs of each kind that have succeeded, oldest first."""
    return [account.run(body) for body in (chat(), embedding(), image(), chat(model="claude-3-opus"))]


def test_usage_is_what_was_charged(account: Account) -> None:
    jobs = worked(account)
    with account.stack.script({"contains": "fails", "fault": {"status": 400}}):
        assert account.run(chat("fails"))["status"] == "failed"
    found = used(account)
    assert found["object"] == "list" and found["period"] == period()
    assert [row["job_id"] for row in found["data"]] == [job["id"] for job in reversed(jobs)]
    balance = account.live.get("/credits").json()
    charged = Decimal(10_000) - Decimal(str(balance["remaining"]))
    assert Decimal(str(found["credits_used"])) == charged > 0
    assert sum(Decimal(str(row["credits_used"])) for row in found["data"]) == charged
    assert sum(Decimal(str(row["credits"])) for row in found["top_models"]) == charged
    assert found["top_models"] == sorted(found["top_models"], key=lambda row: (-row["credits"], row["model"]))
    assert {row["model"] for row in found["top_models"]} == {job["model"] for job in jobs}
    for row, job in zip(found["data"], reversed(jobs), strict=True):
        assert row["id"] == "usage_" + job["id"].removeprefix("job_") and row["object"] == "usage"
        assert (row["created_at"], row["type"], row["model"]) == (
            job["finished_at"],
            job["type"],
            job["served_by"]["model"],
        )
        assert row["provider"] == job["served_by"]["provider"] and row["key_id"].startswith("key_")
        for name in ("prompt_tokens", "completion_tokens", "total_tokens", "credits_used"):
            assert row[name] == job["usage"][name]
        assert row["images"] == job["usage"].get("images", 0) and "test" not in row


def test_the_default_is_this_month_so_far(account: Account) -> None:
    account.run(chat())
    before = today()
    found = account.live.get("/usage").json()
    if today() == before:
        assert found["period"] == {"from": str(before.replace(day=1)), "to": str(before), "timezone": "UTC"}
        assert len(found["data"]) == 1


def test_test_keys_have_usage_of_their_own(account: Account) -> None:
    account.run(chat())
    job = account.test.post("/jobs", json=chat()).json()
    assert account.test.get(f"/jobs/{job['id']}", params={"wait": 20}).json()["status"] == "succeeded"
    found = account.test.get("/usage", params=lately()).json()
    assert [(row["job_id"], row["test"], row["credits_used"]) for row in found["data"]] == [(job["id"], True, 0)]
    assert found["credits_used"] == 0 and [row["credits"] for row in found["top_models"]] == [0]
    assert job["id"] not in {row["job_id"] for row in used(account)["data"]}


def test_paging_over_http(account: Account) -> None:
    ids = [job["id"] for job in reversed(worked(account))]
    exact = used(account, limit=4)
    assert len(exact["data"]) == 4 and exact["has_more"] is False
    seen, after = [], {}
    while True:
        page = used(account, limit=1, **after)
        seen += [row["job_id"] for row in page["data"]]
        assert page["credits_used"] == exact["credits_used"]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert seen == ids
    assert account.live.get("/usage?limit=100&after=usage_abc123").status_code == 200, "as the documentation has it"
    assert [row["job_id"] for row in used(account, model="claude-3-opus")["data"]] == ids[:1]


@pytest.mark.parametrize(
    ("params", "accept"),
    [
        ({"format": "csv"}, "application/json"),
        ({}, "text/csv"),
        ({}, "application/json;q=0.5, text/csv;q=0.9"),
        ({}, "TEXT/CSV; charset=utf-8, */*"),
    ],
)
def test_csv_has_every_row(account: Account, params: dict[str, str], accept: str) -> None:
    jobs = worked(account)
    answer = account.live.get("/usage", params={**lately(), **params}, headers={"accept": accept})
    lines = parsed(answer)
    assert [line["job_id"] for line in lines] == [job["id"] for job in jobs]
    assert sum(Decimal(line["credits_used"]) for line in lines) == Decimal(str(used(account)["credits_used"]))
    period = lately()
    name = f"fusionai-usage-{period['from']}-{period['to']}.csv"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize(
    ("params", "accept"),
    [
        ({}, "*/*"),
        ({}, "text/html, application/xml;q=0.9, */*;q=0.8"),
        ({}, "application/json, text/csv;q=0.5"),
        ({}, "text/csv;q=0, */*"),
        ({}, "text/csv;q=much"),
        ({"format": "json"}, "text/csv"),
    ],
)
def test_json_unless_csv_is_asked_for(account: Account, params: dict[str, str], accept: str) -> None:
    answer = account.live.get("/usage", params=params, headers={"accept": accept})
    assert answer.headers["content-type"] == "application/json" and answer.json()["data"] == []
    assert answer.headers["vary"] == "Accept"


def test_csv_of_nothing_is_its_header(account: Account) -> None:
    answer = account.live.get("/usage", params={"format": "csv"})
    assert parsed(answer) == [] and answer.text.startswith("id,created_at,job_id,") and answer.text.count("\r\n") == 1


def test_another_account_sees_nothing(account: Account, other: Account) -> None:
    worked(account)
    row = used(account)["data"][0]
    for params in ({}, {"after": row["id"]}, {"model": row["model"]}, {"batch_id": "batch_1"}):
        found = used(other, **params)
        assert found["data"] == found["top_models"] == [] and found["credits_used"] == 0
    assert parsed(other.live.get("/usage", params={**lately(), "format": "csv"})) == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("from=yesterday", "from"),
        ("from=", "from"),
        ("from=2026-02-30", "from"),
        ("from=20260101", "from"),
        ("from=2026-01-01T00:00:00Z", "from"),
        ("from=%F0%9F%92%A9", "from"),
        ("from=" + "9" * 5000, "from"),
        ("to=1e9", "to"),
        ("to=-001-01-01", "to"),
        ("to=2026-1-1", "to"),
        ("from=2026-02-02&to=2026-02-01", "from"),
        ("from=0001-01-01&to=9999-12-31", "from"),
        ("from=0001-01-01", "from"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1.5", "limit"),
        ("order=up", "order"),
        ("after=job_1", "after"),
        ("after=usage_", "after"),
        ("after=usage_" + "g" * 65, "after"),
        ("after=" + "a" * 5000, "after"),
        ("format=xml", "format"),
        ("format=", "format"),
        ("format=csv&limit=5", "limit"),
        ("format=csv&after=usage_" + "0" * 32, "after"),
        ("model=", "model"),
        ("batch_id=" + "a" * 201, "batch_id"),
        ("since=2026-01-01", "since"),
        ("From=2026-01-01", "From"),
    ],
)
def test_a_bad_parameter_is_named(account: Account, query: str, param: str) -> None:
    assert len(check(account.live.get("/usage?" + query), 400, "invalid_request", param)["message"]) < 400


def test_odd_but_harmless_parameters_find_nothing(account: Account) -> None:
    assert account.live.get("/usage?from=%00").status_code == 400
    for query in (
        "model=';DROP TABLE jobs;--",
        "batch_id=%25",
        "from=9999-12-31",
        "from=9999-12-31&to=9999-12-31",
        "to=0001-01-01",
    ):
        found = account.live.get("/usage?" + query)
        assert found.status_code == 200 and found.json()["data"] == [], query


@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize("query", ["", "?format=csv", "?from=x"])
def test_a_key_is_needed_first(account: Account, prefix: str, query: str) -> None:
    check(httpx.get(account.stack.url + prefix + "/usage" + query), 401, "unauthorized")


def test_groups_are_the_sums_by_key_label_and_day(account: Account) -> None:
    for team in ("red", "blue", "red"):
        account.run(chat(metadata={"team": team}))
    account.run(embedding())
    whole = used(account)["credits_used"]
    found = used(account, group_by="key")
    (group,) = found["data"]
    assert group["jobs"] == 4 and group["credits_used"] == found["credits_used"] == whole
    teams = used(account, group_by="metadata.team,model", order="asc")["data"]
    assert [(one["metadata"]["team"], one["model"], one["jobs"]) for one in teams] == [
        (None, "text-embedding-3-large", 1),
        ("blue", "gpt-4", 1),
        ("red", "gpt-4", 2),
    ]
    first = used(account, group_by="metadata.team", limit=1, order="asc")
    assert first["has_more"] and used(account, group_by="metadata.team", after=first["last_id"], order="asc")["data"]
    rows = parsed(account.live.get("/usage", params={**lately(), "group_by": "metadata.team", "format": "csv"}))
    assert [(row["metadata.team"], row["jobs"]) for row in rows] == [("", "1"), ("blue", "1"), ("red", "2")]
    assert sum(Decimal(row["credits_used"]) for row in rows) == Decimal(str(whole))
    assert account.test.get("/usage", params={"group_by": "key,day"}).json()["data"] == []
    for wrong in ("teams", "metadata.", "key,key", "metadata." + "x" * 65):
        check(account.live.get("/usage", params={"group_by": wrong}), 400, "invalid_request", "group_by")
