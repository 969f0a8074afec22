"""Credit as its owner sees it: grants that expire, refunds and adjustments, in the balance, transfers, jobs, events."""

import json
from typing import Any

from shared import clock
from shared.audit import Action
from shared.db import models as m
from shared.money import corrections
from tests.acceptance.stack import Account, Stack, image
from tests.conditions import await_condition

CREDIT = 1_000_000


def transfers(account: Account) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = account.live.get("/credits/transfers").json()["data"]
    return rows


def test_what_will_expire_is_shown_and_leaves_in_its_time(account: Account, stack: Stack) -> None:
    now = clock.now_micros()
    give, why = corrections.grant, Action("ann", "credits.grant")
    stack.write(give, why, account.id, 25 * CREDIT, now + 90 * 86_400 * clock.MICROS)
    stack.write(give, why, account.id, 40 * CREDIT, now + 30 * clock.MICROS)
    account.run(image())
    balance = account.live.get("/credits").json()
    assert [one["credits"] for one in balance["expiring"]] == [30, 25] and balance["available"] == 10_055
    assert balance["expiring"][0]["expires_at"] == now // clock.MICROS + 30
    # A shorter wait than 30 s: it expires now.
    due = m.credit_grants.update().where(m.credit_grants.c.amount_micros == 40 * CREDIT)
    soon = {"expires_at": clock.now_micros(), "due_at": clock.now_micros()}
    stack.write(lambda c: c.execute(due.values(soon)).rowcount)
    gone = await_condition(lambda: [row for row in transfers(account) if row["kind"] == "expire"], what="the expiry")
    assert (gone[0]["credits"], gone[0]["from"], gone[0]["to"]) == (30, "available", "treasury")
    assert gone[0]["subject"]["type"] == "grant" and gone[0]["subject"]["id"].startswith("grant_")
    balance = account.live.get("/credits").json()
    assert balance["available"] == 10_025 and [one["credits"] for one in balance["expiring"]] == [25]
    assert balance["spent"]["credits"] == 10, "what expired was not spent"


def test_a_refund_and_an_adjustment_are_shown(account: Account, stack: Stack) -> None:
    job = account.run(image())
    assert "refunded" not in job
    stack.write(corrections.refund, Action("ann", "credits.refund", "black picture"), job["id"], 4 * CREDIT)
    stack.write(corrections.adjust, Action("ann", "credits.adjust", "typo"), account.id, -3 * CREDIT)
    shown = account.live.get(f"/jobs/{job['id']}").json()
    assert (shown["refunded"], shown["usage"]["credits_used"]) == (4, 10)
    moved = {row["kind"]: row for row in transfers(account)}
    assert moved["refund"]["subject"] == {"type": "job", "id": job["id"]} and moved["refund"]["credits"] == 4
    assert (moved["adjust"]["from"], moved["adjust"]["credits"]) == ("available", 3)
    assert account.live.get("/credits").json()["available"] == 9991
    assert account.live.get("/usage").json()["credits_used"] == 10, "usage keeps what was charged"
    assert "typo" not in json.dumps(transfers(account)), "the operator's words are the operator's"


def test_test_keys_see_none_of_it(account: Account) -> None:
    for path in ("/credits", "/credits/transfers"):
        assert account.test.get(path).status_code == 403
