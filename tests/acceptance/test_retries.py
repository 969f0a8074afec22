"""Only the failed again, over HTTP against running processes, the official SDK reading what comes of it."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests import contract
from tests.acceptance.stack import Account
from tests.acceptance.test_batches import EMBED, client, ended, jsonl, line, submitted  # noqa: F401

RETRY, PROGRESS = "/v1/batches/{id}/retry", "/v1/batches/{id}/progress"


def refusing(account: Account, word: str = "refuse me") -> Any:
    """While it lasts, providers refuse what has this word in it."""
    return account.stack.script({"contains": word, "fault": {"status": 400, "message": f"not {word}"}})


@pytest.fixture
def failed(client: OpenAI, account: Account) -> str:  # noqa: F811
    """A batch of four lines that has ended with one that failed."""
    with refusing(account):
        made = submitted(client, jsonl(line("a"), line("refuse me"), line("c", EMBED), line("d")), endpoint=None)
        assert ended(lambda: client.batches.retrieve(made.id)).request_counts.failed == 1
    return str(made.id)


def retry(account: Account, id: str, key: str | None = None, **body: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    answer = account.live.post(f"/batches/{id}/retry", json=body, headers=headers)
    contract.check("POST", RETRY, answer)
    return answer


def test_the_sdk_reads_a_retry_and_its_merged_output(client: OpenAI, account: Account, failed: str) -> None:  # noqa: F811
    said = account.live.post(f"/batches/{failed}/retry")
    assert said.status_code == 200, said.text
    made = client.batches.retrieve(said.json()["id"])
    assert made.model_extra["retry_of"] == failed and made.id != failed
    done = ended(lambda: client.batches.retrieve(made.id))
    assert done.status == "completed" and done.request_counts.model_dump() == {"total": 1, "completed": 1, "failed": 0}
    output = [json.loads(text) for text in client.files.content(done.output_file_id).iter_lines()]
    assert [row["custom_id"] for row in output] == ["a", "refuse me", "c", "d"] and done.error_file_id is None
    again = [json.loads(text) for text in client.files.content(done.input_file_id).iter_lines()]
    assert [row["custom_id"] for row in again] == ["refuse me"]
    statements = account.live.get("/invoices", params={"batch_id": made.id}).json()["data"]
    assert [one["total"] for one in statements] == [done.model_extra["credits_used"]]
    assert account.stack.violations() == []


def test_the_error_file_is_a_batch_file_once_its_lines_are_stripped(client: OpenAI, account: Account) -> None:  # noqa: F811
    with refusing(account):
        made = submitted(client, jsonl(line("refuse me", metadata={"k": "v"}), line("b")))
        done = ended(lambda: client.batches.retrieve(made.id))
    (row,) = (json.loads(text) for text in client.files.content(done.error_file_id).iter_lines())
    assert set(row) == {"id", "custom_id", "response", "error", "request"}
    assert row["response"]["body"]["error"]["reason"] == "invalid_request"
    assert row["request"]["body"]["metadata"] == {"k": "v"}
    other = submitted(client, jsonl({"custom_id": row["custom_id"], **row["request"]}))
    assert ended(lambda: client.batches.retrieve(other.id)).request_counts.completed == 1


def test_an_idempotency_key_buys_once(account: Account, failed: str) -> None:
    first = retry(account, failed, "k1")
    again = retry(account, failed, "k1")
    assert again.json() == first.json() and again.headers["Idempotent-Replayed"] == "true"
    assert retry(account, failed, "k1", completion_window="1h").status_code == 422
    refused = retry(account, failed, "k2")
    assert refused.status_code == 409 and first.json()["id"] in refused.json()["error"]["message"]


def test_of_many_at_once_one_is_made(account: Account, failed: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: retry(account, failed), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    listed = account.live.get("/batches").json()["data"]
    assert [batch["retry_of"] for batch in listed] == [failed, None]
    inputs = [file for file in account.live.get("/files").json()["data"] if file["filename"].endswith("_retry.jsonl")]
    assert len(inputs) == 1, "the others' files are gone"


def test_refusals(account: Account, other: Account, failed: str) -> None:
    for stranger in (other.live, account.test):
        assert stranger.post(f"/batches/{failed}/retry", json={}).status_code == 404
        assert stranger.get(f"/batches/{failed}/progress").status_code == 404
    unknown = retry(account, failed, reasons=["weather"])
    assert unknown.status_code == 400 and "existing reasons: invalid_request (1)" in unknown.json()["error"]["message"]
    for wrong in ({"reasons": []}, {"reasons": "expired"}, {"window": "1h"}, {"completion_window": "200h"}):
        assert retry(account, failed, **wrong).status_code == 400, wrong
    with account.stack.script({"contains": "held", "fault": {"latency_seconds": 30}}):
        running = account.live.post("/batches", json={"requests": [line("held")]}).json()["id"]
        assert retry(account, running).status_code == 409
        account.live.post(f"/batches/{running}/cancel")


def test_progress_names_providers_and_reasons(account: Account, failed: str) -> None:
    answer = account.live.get(f"/batches/{failed}/progress")
    contract.check("GET", PROGRESS, answer)
    found = answer.json()
    assert found["object"] == "batch.progress" and (found["batch_id"], found["status"]) == (failed, "completed")
    assert found["request_counts"] == {"total": 4, "completed": 3, "failed": 1} and found["finished_at"]
    (openai,) = found["providers"]
    assert (openai["provider"], openai["total"], openai["completed"], openai["failed"]) == ("openai", 4, 3, 1)
    assert (openai["running"], openai["waiting"], openai["waiting_for"], openai["until"]) == (0, 0, None, None)
    (reason,) = found["reasons"]
    assert reason == {
        **{"reason": "invalid_request", "status_code": 400, "model": "gpt-4", "count": 1},
        "message": "not refuse me",
    }
    assert found["credits_used"] == account.live.get(f"/batches/{failed}").json()["credits_used"]
