"""What a job goes through when providers fail: retries, Retry-After, fallback, refusals; and its money."""

import httpx
import pytest

from shared.money import ledger
from tests.acceptance.stack import Account, Stack, chat, image
from tests.conditions import await_condition


def calls(stack: Stack, text: str) -> int:
    """How many requests with this text reached the simulator."""
    found = httpx.get(f"{stack.simulator}/_simulator/calls", params={"contains": text}).json()
    return int(found["count"])


def test_two_faults_then_success_shows_three_attempts_and_one_charge(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "flaky", "times": 2, "fault": {"status": 503}}):
        job = account.run(chat("flaky"))
        assert calls(stack, "flaky") == 3
    assert job["status"] == "succeeded" and [a["status_code"] for a in job["attempts"]] == [503, 503, 200]
    assert job["attempts"][0]["error"] and job["attempts"][2]["error"] is None
    kinds = [row["kind"] for row in account.live.get("/credits/transfers").json()["data"]]
    assert sorted(kinds) == ["charge", "grant", "hold", "release"]


@pytest.mark.parametrize("kind", ["reset", "malformed_json", "empty_choices", "wrong_content_length", "html"])
def test_a_broken_answer_is_tried_again(account: Account, stack: Stack, kind: str) -> None:
    with stack.script({"contains": f"broken {kind}", "times": 1, "fault": {"kind": kind}}):
        job = account.run(chat(f"broken {kind}"))
    assert job["status"] == "succeeded" and len(job["attempts"]) == 2 and job["attempts"][0]["error"]


def test_two_brief_retries_and_then_another_provider(account: Account, stack: Stack) -> None:
    with stack.script({"provider": "openai", "contains": "go elsewhere", "fault": {"status": 500}}):
        job = account.run(chat("go elsewhere", routing={"fallbacks": ["gpt-3.5-turbo", "claude-3-sonnet"]}))
    assert job["status"] == "succeeded" and job["model"] == "gpt-4"
    assert job["served_by"] == {"provider": "anthropic", "model": "claude-3-sonnet"}
    assert [a["provider"] for a in job["attempts"]] == ["openai"] * 3 + ["anthropic"]
    assert job["result"]["model"] == "claude-3-sonnet"


def test_all_retries_in_vain_fail_the_job_for_nothing(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "hopeless", "fault": {"status": 500}}):
        # Of a model that has not failed before here: five failures in a row pause one.
        job = account.run(chat("hopeless", model="claude-3-sonnet"))
    assert job["status"] == "failed" and len(job["attempts"]) == 4 and job["result"] is None
    assert (job["error"]["type"], job["error"]["code"]) == ("upstream_error", 502)
    assert account.live.get("/credits").json() | {"held": 0, "available": 10_000} == account.live.get("/credits").json()


@pytest.mark.parametrize("status", [400, 422])
def test_the_callers_own_fault_is_not_tried_again_anywhere(account: Account, stack: Stack, status: int) -> None:
    with stack.script({"contains": f"bad {status}", "fault": {"status": status, "message": "no such thing"}}):
        job = account.run(chat(f"bad {status}", routing={"fallbacks": ["claude-3-opus"]}))
        assert calls(stack, f"bad {status}") == 1
    assert job["status"] == "failed" and [a["status_code"] for a in job["attempts"]] == [status]
    assert job["error"]["type"] == "invalid_request" and "no such thing" in job["error"]["message"]
    assert job["usage"]["credits_used"] == 0


def test_what_is_too_long_for_one_provider_goes_to_the_next_at_once(account: Account, stack: Stack) -> None:
    with stack.script({"provider": "openai", "contains": "too long here", "fault": {"status": 413}}):
        job = account.run(chat("too long here", routing={"fallbacks": ["claude-3-opus"]}))
    assert job["status"] == "succeeded" and job["served_by"]["provider"] == "anthropic"
    assert [a["status_code"] for a in job["attempts"]] == [413, 200]


def test_what_is_too_long_for_every_provider_is_the_callers_own_fault(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "too long anywhere", "fault": {"status": 413, "message": "far too long"}}):
        job = account.run(chat("too long anywhere", routing={"fallbacks": ["claude-3-opus"]}))
        assert calls(stack, "too long anywhere") == 2
    assert job["status"] == "failed" and [a["status_code"] for a in job["attempts"]] == [413, 413]
    assert (job["error"]["type"], job["error"]["code"]) == ("invalid_request", 400)
    # What Anthropic says of its own limit names nothing of the request: the job says it in our words.
    assert job["error"]["reason"] == "request_too_large"
    assert job["error"]["message"] == "the request is larger than the provider accepts"
    assert job["usage"]["credits_used"] == 0


@pytest.mark.parametrize(
    ("code", "provider", "model"),
    # Each of another provider, since one whose quota is spent is left alone for a while.
    [("insufficient_quota", "openai", "gpt-4"), ("billing_hard_limit_reached", "deepinfra", "deepinfra.deepseek-r1")],
)
def test_a_spent_quota_is_not_tried_again_but_falls_back(
    account: Account, stack: Stack, code: str, provider: str, model: str
) -> None:
    with stack.script({"provider": provider, "contains": code, "fault": {"status": 429, "code": code}}):
        job = account.run(chat(code, model=model, routing={"fallbacks": ["gemini-pro"]}))
    assert job["status"] == "succeeded" and [a["status_code"] for a in job["attempts"]] == [429, 200]
    assert job["served_by"]["provider"] == "google"


def test_retry_after_is_honoured(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "slowly", "times": 1, "fault": {"status": 429, "retry_after": 2}}):
        job = account.run(chat("slowly"))
    assert job["status"] == "succeeded" and [a["status_code"] for a in job["attempts"]] == [429, 200]
    assert job["attempts"][1]["started_at"] - job["attempts"][0]["finished_at"] >= 1


def test_a_long_retry_after_gives_the_slot_back(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "tomorrow", "fault": {"status": 429, "retry_after": 600}}):
        id = account.submit(chat("tomorrow"))["id"]
        await_condition(lambda: account.live.get(f"/jobs/{id}").json()["attempts"])
        waiting = account.live.get(f"/jobs/{id}").json()
        assert waiting["status"] == "queued" and [a["status_code"] for a in waiting["attempts"]] == [429]
        cancelled = account.live.post(f"/jobs/{id}/cancel").json()
    assert cancelled["status"] == "cancelled" and [a["status_code"] for a in cancelled["attempts"]] == [429]
    assert account.live.get("/credits").json()["available"] == 10_000


def test_missing_usage_is_counted_here_and_charged(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "uncounted", "fault": {"kind": "missing_usage"}}):
        job = account.run(chat("uncounted"))
    assert job["status"] == "succeeded" and job["usage"]["prompt_tokens"] > 0 and job["usage"]["credits_used"] > 0


def test_excess_usage_is_charged_up_to_what_was_held(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "too much", "fault": {"kind": "excess_usage"}}):
        id = account.submit(chat("too much"))["id"]
        job = account.finished(id)
    held = next(row for row in account.live.get("/credits/transfers").json()["data"] if row["kind"] == "hold")
    assert job["usage"]["credits_used"] == held["credits"] and held["subject"] == {"type": "job", "id": id}
    assert account.live.get("/credits").json()["available"] == pytest.approx(10_000 - held["credits"], abs=1e-6)


def test_without_credit_nothing_is_accepted(stack: Stack) -> None:
    poor = stack.account(credits=9.999999)
    answer = poor.live.post("/jobs", json=image())
    error = answer.json()["error"]
    assert answer.status_code == 402 and error["type"] == "insufficient_credits" and "9.999999" in error["message"]
    assert poor.live.get("/jobs").json()["data"] == []
    assert poor.live.get("/events").json()["data"] == [], "something cheaper can be bought"
    assert poor.test.post("/jobs", json=image()).status_code == 202, "test keys need no credit"
    stack.write(ledger.grant, poor.id, 1)
    assert poor.run(image())["status"] == "succeeded"
    for _ in range(2):
        assert poor.live.post("/jobs", json=image()).status_code == 402
    told = [event["type"] for event in poor.live.get("/events").json()["data"]]
    assert told.count("credit.exhausted") == 1, "told once"
    assert poor.live.get("/credits").json()["available"] == 0
    poor.close()


def test_events_tell_each_end_in_order(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "refused", "fault": {"status": 400}}):
        good, bad = account.run(chat("fine")), account.run(chat("refused"))
    page = account.live.get("/events").json()
    assert [(e["type"], e["sequence"]) for e in page["data"]] == [("job.completed", 1), ("job.failed", 2)]
    for event, job in zip(page["data"], (good, bad), strict=True):
        assert event["object"] == "event" and event["id"].startswith("evt_")
        assert event["data"]["job"]["id"] == job["id"] and event["data"]["job"]["status"] == job["status"]
        assert event["data"]["url"] == f"/v1/jobs/{job['id']}" and "result" not in event["data"]["job"]
    rest = account.live.get("/events", params={"after": page["data"][0]["id"]}).json()["data"]
    assert rest == page["data"][1:]


def test_the_balance_and_its_transfers_agree(account: Account) -> None:
    for _ in range(3):
        account.run(image())
    credits = account.live.get("/credits").json()
    assert credits["available"] == credits["remaining"] == 9970 and credits["held"] == 0
    assert credits["spent"]["credits"] == 30
    rows = []
    params: dict[str, str] = {"limit": "2"}
    while True:
        page = account.live.get("/credits/transfers", params=params).json()
        rows += page["data"]
        params["after"] = page["last_id"]
        if not page["has_more"]:
            break
    assert [row["kind"] for row in rows].count("charge") == 3
    into = sum(row["credits"] for row in rows if row["to"] == "available")
    assert into - sum(row["credits"] for row in rows if row["from"] == "available") == 9970


def test_thresholds_are_set_shown_and_fire(account: Account) -> None:
    wanted = [{"kind": "remaining", "credits": 9985}, {"kind": "spent", "credits": 15}]
    answer = account.live.put("/credits/thresholds", json={"thresholds": wanted})
    assert answer.status_code == 200 and account.live.get("/credits").json()["thresholds"] == wanted
    for _ in range(3):
        account.run(image())
    told = [e["data"] for e in account.live.get("/events").json()["data"] if e["type"] == "credit.threshold"]
    assert sorted(one["kind"] for one in told) == ["remaining", "spent"]
    assert all(set(one) == {"kind", "threshold", "credits_remaining", "credits_spent", "period"} for one in told)
    assert all(one["credits_spent"] == 20 and one["credits_remaining"] == 9980 for one in told)


def test_nothing_is_violated_and_no_prompt_or_key_was_logged(account: Account, stack: Stack) -> None:
    canary = "canary-a7f3"
    rules = [
        {"contains": canary, "times": 1, "fault": {"status": 500, "message": f"could not do {canary}"}},
        {"contains": f"{canary} bad", "fault": {"status": 400, "message": f"what is {canary}"}},
        {"contains": f"{canary} odd", "fault": {"kind": "malformed_json"}},
    ]
    with stack.script(*rules):
        for text in (canary, f"{canary} bad", f"{canary} odd"):
            account.run(chat(text, metadata={"k": canary}))
    account.live.post("/jobs", content=f'{{"a": "{canary}'.encode(), headers={"content-type": "application/json"})
    account.live.post("/jobs", json={"type": "chat.completion", "model": canary, "messages": canary})
    assert stack.violations() == []
    log = stack.log.read_text()
    for secret in (canary, account.live_key[14:], account.test_key[14:]):
        assert secret not in log
