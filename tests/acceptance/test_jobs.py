"""Jobs over real HTTP: one and many, of all three types, live and test, waited for, listed, cancelled, replayed."""

import threading
from typing import Any

import httpx
import pytest

from shared.money import ledger
from tests.acceptance.stack import Account, Stack, chat, embedding, image
from tests.conditions import await_condition

JOB_FIELDS = {
    "id", "object", "type", "status", "model", "served_by", "batch_id", "attempts", "created_at", "started_at",
    "finished_at", "metadata", "result", "error", "usage",
}  # fmt: skip


def test_one_job_is_accepted_as_documented(account: Account) -> None:
    answer = account.live.post("/jobs", json=chat(metadata={"order": "7"}))
    job = answer.json()
    assert answer.status_code == 202 and set(job) >= JOB_FIELDS
    assert (job["object"], job["type"], job["status"], job["model"]) == ("job", "chat.completion", "queued", "gpt-4")
    assert job["metadata"] == {"order": "7"} and job["result"] is None and job["attempts"] == []
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" and answer.headers["fusionai-job-id"] == job["id"]
    assert int(answer.headers["retry-after"]) >= 1 and answer.headers["fusionai-version"] == "v1"
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(("body", "provider"), [(chat(), "openai"), (embedding(), "openai"), (image(), "openai")])
def test_a_live_job_of_each_type_runs_and_is_charged(account: Account, body: dict[str, Any], provider: str) -> None:
    job = account.run({**body, "metadata": {"a": "b"}})
    assert job["status"] == "succeeded" and job["error"] is None and job["metadata"] == {"a": "b"}
    assert job["served_by"] == {"provider": provider, "model": body["model"]}
    assert [attempt["status_code"] for attempt in job["attempts"]] == [200]
    assert set(job["attempts"][0]) == {"provider", "model", "started_at", "finished_at", "status_code", "error"}
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert job["usage"]["credits_used"] > 0 and "test" not in job["usage"]
    assert job["usage"]["total_tokens"] == job["usage"]["prompt_tokens"] + job["usage"]["completion_tokens"]
    assert job["result"]["usage"]["credits_used"] == job["usage"]["credits_used"]
    credits = account.live.get("/credits").json()
    assert credits["held"] == 0 and round((10_000 - credits["available"]) * 1e6) == round(
        job["usage"]["credits_used"] * 1e6
    )


def test_results_have_the_shape_of_the_synchronous_answer(account: Account) -> None:
    result = account.run(chat())["result"]
    assert result["object"] == "chat.completion" and result["model"] == "gpt-4" and result["id"].startswith("chatcmpl-")
    assert result["choices"][0]["message"]["role"] == "assistant" and result["choices"][0]["message"]["content"]
    result = account.run(embedding())["result"]
    assert result["object"] == "list" and [row["index"] for row in result["data"]] == [0, 1]
    assert all(isinstance(number, float | int) for number in result["data"][0]["embedding"])
    result = account.run(image(n=2))["result"]
    assert len(result["data"]) == 2 and all(row.get("url") or row.get("b64_json") for row in result["data"])


def test_prices_are_the_seeds(account: Account) -> None:
    assert account.run(image())["usage"]["credits_used"] == 10
    used = account.run(embedding())["usage"]
    assert used["credits_used"] == pytest.approx(used["prompt_tokens"] * 0.01 / 42, abs=1e-6)


@pytest.mark.parametrize("body", [chat(), embedding(), image()])
def test_a_test_job_runs_in_the_sandbox_and_costs_nothing(account: Account, body: dict[str, Any]) -> None:
    job = account.test.post("/jobs", json=body).json()
    done = account.finished(job["id"], test=True)
    assert done["status"] == "succeeded" and done["served_by"] == {"provider": "sandbox", "model": body["model"]}
    assert done["usage"]["test"] is True and done["usage"]["credits_used"] == 0
    assert account.live.get("/credits").json()["available"] == 10_000


def test_a_list_of_jobs_is_accepted_whole_and_in_order(account: Account) -> None:
    bodies = [
        chat(f"question {n}", model=model) for n in range(8) for model in ("gpt-4", "claude-3-opus", "gemini-pro")
    ]
    bodies += [embedding(), image()]
    answer = account.live.post("/jobs", json={"jobs": bodies})
    accepted = answer.json()
    assert answer.status_code == 202 and set(accepted) == {"object", "data"} and accepted["object"] == "list"
    assert [job["model"] for job in accepted["data"]] == [body["model"] for body in bodies]
    done = [account.finished(job["id"]) for job in accepted["data"]]
    assert {job["status"] for job in done} == {"succeeded"}
    assert {job["served_by"]["provider"] for job in done} == {"openai", "anthropic", "google"}


def test_a_list_is_refused_whole(account: Account) -> None:
    bad = {"jobs": [chat(), chat(), chat(temperature=9), chat()]}
    error = account.live.post("/jobs", json=bad).json()["error"]
    assert error["param"] == "jobs[2].temperature" and error["code"] == 400
    assert account.live.get("/jobs").json()["data"] == []
    assert account.live.get("/credits").json()["held"] == 0


def test_a_thousand_jobs_in_one_request_and_no_more(account: Account) -> None:
    many = account.test.post("/jobs", json={"jobs": [embedding(input="a")] * 1000})
    assert many.status_code == 202 and len({job["id"] for job in many.json()["data"]}) == 1000
    more = account.test.post("/jobs", json={"jobs": [embedding(input="a")] * 1001})
    assert more.status_code == 413 and more.json()["error"]["type"] == "payload_too_large"


def test_waiting_ends_when_the_job_does_or_the_time_is_up(account: Account, stack: Stack) -> None:
    rule = {"contains": "patience", "fault": {"latency_seconds": 1.2}}
    with stack.script(rule):
        id = account.submit(chat("patience"))["id"]
        early = account.live.get(f"/jobs/{id}", params={"wait": 0.2})
        assert early.status_code == 200 and early.json()["finished_at"] is None
        assert early.headers["fusionai-job-id"] == id
        assert account.live.get(f"/jobs/{id}").json()["status"] in ("queued", "running")
        assert account.finished(id)["status"] == "succeeded"


def test_many_wait_for_one_job(account: Account, stack: Stack) -> None:
    seen: list[str] = []
    with stack.script({"contains": "crowd", "fault": {"latency_seconds": 0.5}}):
        id = account.submit(chat("crowd"))["id"]
        threads = [threading.Thread(target=lambda: seen.append(account.finished(id)["status"])) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert seen == ["succeeded"] * 8


def test_a_running_job_is_cancelled_and_not_charged(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "stop me", "fault": {"kind": "hang"}}):
        id = account.submit(chat("stop me"))["id"]
        await_condition(lambda: account.live.get(f"/jobs/{id}").json()["status"] == "running")
        answer = account.live.post(f"/jobs/{id}/cancel")
        assert answer.status_code == 200 and answer.json()["cancel_requested"] is True
        job = account.finished(id)
    assert job["status"] == "cancelled" and job["result"] is None and job["usage"]["credits_used"] == 0
    assert account.live.get("/credits").json()["available"] == 10_000


def test_cancelling_what_has_ended_changes_nothing(account: Account) -> None:
    job = account.run(chat())
    again = account.live.post(f"/jobs/{job['id']}/cancel")
    assert again.status_code == 200 and again.json()["status"] == "succeeded"


def test_the_same_key_and_body_get_the_same_answer(account: Account) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = account.live.post("/jobs", json=chat(), headers=headers)
    account.finished(first.json()["id"])
    again = account.live.post("/jobs", json=dict(reversed(chat().items())), headers=headers)
    assert again.status_code == 202 and again.content == first.content, "the key order of the body does not matter"
    assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers
    without = httpx.post(account.stack.url + "/jobs", json=chat(), headers={**account.live.headers, **headers})
    assert without.content == first.content, "with and without /v1 is the same route"
    assert len(account.live.get("/jobs").json()["data"]) == 1


def test_the_same_key_with_another_body_is_422(account: Account, other: Account) -> None:
    headers = {"Idempotency-Key": "order-2"}
    account.submit(chat(), headers=headers)
    answer = account.live.post("/jobs", json=chat("else"), headers=headers)
    assert answer.status_code == 422 and answer.json()["error"]["type"] == "idempotency_mismatch"
    assert other.live.post("/jobs", json=chat("else"), headers=headers).status_code == 202, "keys are an account's own"


def test_live_and_test_keys_do_not_share_idempotency_keys(account: Account) -> None:
    headers = {"Idempotency-Key": "order-3"}
    tried = account.test.post("/jobs", json=chat(), headers=headers)
    meant = account.live.post("/jobs", json=chat(), headers=headers)
    assert tried.status_code == meant.status_code == 202 and "idempotent-replayed" not in meant.headers
    assert tried.json()["id"] != meant.json()["id"]
    for client, first in ((account.test, tried), (account.live, meant)):
        again = client.post("/jobs", json=chat(), headers=headers)
        assert again.content == first.content and again.headers["idempotent-replayed"] == "true"


def test_cancelling_with_a_key_is_answered_once(account: Account, other: Account) -> None:
    job = account.run(chat())
    headers = {"Idempotency-Key": "cancel-1"}
    first, again = (account.live.post(f"/jobs/{job['id']}/cancel", headers=headers) for _ in range(2))
    assert first.status_code == 200 and first.headers["fusionai-job-id"] == job["id"]
    assert again.content == first.content and again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert account.live.post("/jobs/job_other/cancel", headers=headers).status_code == 422
    assert other.live.post(f"/jobs/{job['id']}/cancel", headers=headers).status_code == 404


def test_two_idempotency_keys_are_a_400(account: Account) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = account.live.post("/jobs", json=chat(), headers=headers)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "Idempotency-Key"


@pytest.mark.parametrize("key", ["", "k" * 256, "é", "a\tb"])
def test_a_bad_idempotency_key_is_a_400(account: Account, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1")), (b"Content-Type", b"application/json")]
    answer = account.live.post("/jobs", json=chat(), headers=headers)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "Idempotency-Key"


def test_a_refusal_is_not_kept_under_its_key(stack: Stack) -> None:
    poor = stack.account(credits=0)
    headers = {"Idempotency-Key": "later"}
    assert poor.live.post("/jobs", json=chat(), headers=headers).status_code == 402
    stack.write(ledger.grant, poor.id, 100_000_000)
    assert poor.live.post("/jobs", json=chat(), headers=headers).status_code == 202
    poor.close()


def test_pages_of_jobs_join_without_gap_or_double(account: Account) -> None:
    made = [job["id"] for job in account.test.post("/jobs", json={"jobs": [embedding()] * 25}).json()["data"]]
    for order, wanted in (("desc", made[::-1]), ("asc", made)):
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = account.test.get("/jobs", params={"limit": 10, "order": order, **after}).json()
            assert page["object"] == "list" and page["first_id"] == page["data"][0]["id"]
            seen += [job["id"] for job in page["data"]]
            after = {"after": page["last_id"]}
            if not page["has_more"]:
                break
        assert seen == wanted
    assert len(account.test.get("/jobs").json()["data"]) == 20
    assert account.live.get("/jobs").json()["data"] == []


def test_jobs_by_id_and_by_status(account: Account) -> None:
    ids = [account.run(embedding())["id"] for _ in range(3)]
    found = account.live.get("/jobs", params={"ids": ",".join(ids[:2])}).json()["data"]
    assert {job["id"] for job in found} == set(ids[:2])
    assert len(account.live.get("/jobs", params={"status": "succeeded"}).json()["data"]) == 3
    assert account.live.get("/jobs", params={"status": "failed"}).json()["data"] == []
