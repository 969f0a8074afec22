"""Every charge explains itself: of every kind of job, in every dialect, its lines add up, and its hold is resolved."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.acceptance.command import Command
from tests.acceptance.stack import Account, Stack, chat, embedding, image
from tests.acceptance.test_every_dialect import CALLS, send
from tests.conditions import await_condition

MICRO = Decimal("0.000001")


@pytest.fixture(scope="module")
def account(stack: Stack) -> Iterator[Account]:
    """An account with jobs of every kind, all of which have ended."""
    account = stack.account()
    for call in CALLS:
        send(stack, call, account.live_key)
    account.run(chat())
    account.run(embedding())
    account.run(image())
    account.run(chat(model="claude-3-opus", messages=cached(), max_tokens=20))
    account.run(chat(routing={"fallbacks": ["claude-3-sonnet"]}))
    with stack.script({"contains": "hopeless", "fault": {"status": 400}}):
        account.run(chat("hopeless"))
    with stack.script({"contains": "once", "times": 1, "fault": {"status": 503}}):
        account.run(chat("once more"))
    with stack.script({"contains": "silent", "fault": {"kind": "missing_usage"}}):
        account.run(chat("silent"))
    with stack.script({"contains": "too much", "fault": {"kind": "excess_usage"}}):
        account.run(chat("too much"))
    lines = [
        {"custom_id": f"line-{n}", "body": {name: value for name, value in chat().items() if name != "type"}}
        for n in range(2)
    ]
    batch = account.live.post("/batches", json={"requests": lines, "endpoint": "/v1/chat/completions"}).json()["id"]
    await_condition(lambda: account.live.get(f"/batches/{batch}").json()["status"] == "completed", what="the batch")
    await_condition(lambda: not unfinished(account), what="the end of every job")
    yield account
    account.close()


def cached() -> list[dict[str, Any]]:
    part = {"type": "text", "text": "word " * 3000, "cache_control": {"type": "ephemeral"}}
    return [{"role": "user", "content": [part]}]


def unfinished(account: Account) -> list[str]:
    return [job["id"] for job in listed(account) if job["finished_at"] is None]


def listed(account: Account) -> list[dict[str, Any]]:
    return list(account.live.get("/jobs", params={"limit": 100}).json()["data"])


def fault(job: dict[str, Any]) -> str | None:
    """What of a job's charge is not as it must be."""
    charge, usage = job["charge"], job["usage"]
    exact = sum((Decimal(line["credits"]) for line in charge["lines"]), Decimal(0))
    if exact != Decimal(str(charge["credits"])) or charge["credits"] != usage["credits_used"]:
        return f"lines come to {exact}, charged {charge['credits']}, used {usage['credits_used']}"
    hold = charge["hold"]
    if Decimal(str(hold["credits"])) != Decimal(str(charge["credits"])) + Decimal(str(hold["released"])):
        return f"held {hold}, charged {charge['credits']}"
    if hold["of_batch"] != (job["batch_id"] is not None):
        return f"{hold} of batch {job['batch_id']}"
    rounding = [Decimal(line["credits"]) for line in charge["lines"] if line["item"] == "rounding"]
    if len(rounding) > 1 or any(not 0 < one < MICRO for one in rounding):
        return f"rounded by {rounding}"
    steps = any("step" in line for line in charge["lines"])
    if charge["credits"] and not steps and not charge["cached"]:
        served = job["attempts"][charge["attempt"] - 1]
        if (served["provider"], served["error"]) != (job["served_by"]["provider"], None):
            return f"charged for attempt {charge['attempt']}: {served}"
    if charge["credits"] and not charge["price_version"]:
        return "no version of the prices"
    return None if charge["credits"] or charge["reason"] else "free, and nothing says why"


def test_every_charge_of_every_dialect_explains_itself(account: Account) -> None:
    jobs = listed(account)
    assert len(jobs) >= len(CALLS) + 11
    assert {(job["id"], found) for job in jobs if (found := fault(job))} == set()
    shown = [account.live.get(f"/jobs/{job['id']}").json()["charge"] for job in jobs]
    assert shown == [job["charge"] for job in jobs]


def of(account: Account, text: str) -> dict[str, Any]:
    (job,) = [one for one in listed(account) if text in str(one["result"])]
    return job


def test_what_the_provider_did_not_report_is_said_to_be_counted_here(account: Account) -> None:
    assert of(account, "silent")["charge"]["estimated"] and not of(account, "once more")["charge"]["estimated"]


def test_the_attempt_that_was_charged_is_named(account: Account) -> None:
    job = of(account, "once more")
    assert job["charge"]["attempt"] == 2 == len(job["attempts"])


def test_a_charge_that_was_cut_at_the_hold_says_so_and_releases_nothing(account: Account) -> None:
    charge = of(account, "too much")["charge"]
    assert charge["hold"]["released"] == 0 and "maximum" in [line["item"] for line in charge["lines"]]


def test_an_explanation_in_words(account: Account, stack: Stack) -> None:
    fusionai = Command(stack, account)
    job = of(account, "once more")
    words = fusionai("job", job["id"], "--explain").stdout
    for said in ("attempt    2 of 2", "held ", "released ", "charged for", "input", "output", "prices of"):
        assert said in words, words
    assert fusionai.json("job", job["id"], "--explain")["charge"] == job["charge"]
    free = account.finished(account.test.post("/jobs", json=chat()).json()["id"], test=True)
    assert free["charge"]["reason"] == "test_key" and free["charge"]["hold"]["credits"] == 0
    line = next(one for one in listed(account) if one["batch_id"])
    assert "of the batch's hold" in fusionai("job", line["id"], "--explain").stdout


def test_every_hold_explains_itself(stack: Stack, account: Account) -> None:
    fusionai, kinds = Command(stack, account), set()
    for listed_job in listed(account):
        job = account.live.get(f"/jobs/{listed_job['id']}").json()
        hold, held = job["hold"], job["charge"]["hold"]["credits"]
        if hold is None:
            assert held == 0
            continue
        items = [line["item"] for line in hold["lines"]]
        assert sum(Decimal(line["credits"]) for line in hold["lines"]) == Decimal(str(held)), hold
        assert hold["state"] == "ended" and hold["credits"] == held and "other" not in items, hold
        kinds |= set(items)
    assert kinds >= {"input", "overhead", "output", "images"}
    said = fusionai("job", account.run(chat())["id"], "--explain").output
    assert "held for at most" in said and "the answer, of at most 50 tokens" in said
