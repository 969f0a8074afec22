"""Batches over HTTP, as the official OpenAI SDK and a plain client make them, against running processes."""

import io
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.acceptance.stack import Account
from tests.conditions import await_condition

CHAT, EMBED, DRAW = "/v1/chat/completions", "/v1/embeddings", "/v1/images/generations"


def line(custom_id: str, url: str = CHAT, **body: Any) -> dict[str, Any]:
    """A line of a batch."""
    asked: dict[str, Any] = {
        CHAT: {"model": "gpt-4", "messages": [{"role": "user", "content": f"hello {custom_id}"}], "max_tokens": 20},
        EMBED: {"model": "text-embedding-3-large", "input": custom_id, "dimensions": 8},
        DRAW: {"model": "image-gen-2", "prompt": custom_id},
    }[url]
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": {**asked, **body}}


def jsonl(*lines: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


@pytest.fixture
def client(account: Account) -> Any:
    """The official SDK with the account's live key."""
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, max_retries=0) as made:
        yield made


def rows_of(client: OpenAI, file_id: str | None) -> dict[str, Any]:
    """The lines of a file, by custom_id."""
    assert file_id is not None
    rows = [json.loads(text) for text in client.files.content(file_id).iter_lines()]
    return {row["custom_id"]: row for row in rows}


def ended(read: Callable[[], Any]) -> Any:
    """The batch when it is over."""
    over = ("completed", "failed", "expired", "cancelled")
    await_condition(lambda: read().status in over, seconds=30, what="the end of the batch")
    return read()


def submitted(client: OpenAI, content: bytes, **more: Any) -> Any:
    """A batch of a file with that content."""
    file = client.files.create(file=("lines.jsonl", io.BytesIO(content)), purpose="batch")
    return client.batches.create(**{"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **more})


def test_the_sdk_submits_polls_and_downloads(client: OpenAI, account: Account) -> None:
    made = submitted(client, jsonl(*(line(f"q-{n}") for n in range(20))), metadata={"night": "yes"})
    assert (made.object, made.status, made.endpoint, made.completion_window) == ("batch", "validating", CHAT, "24h")
    assert made.expires_at == made.created_at + 86_400 and made.metadata == {"night": "yes"}
    done = ended(lambda: client.batches.retrieve(made.id))
    assert done.status == "completed" and done.request_counts.model_dump() == {
        "total": 20,
        "completed": 20,
        "failed": 0,
    }
    assert done.in_progress_at and done.finalizing_at and done.completed_at and done.error_file_id is None
    assert done.model == "gpt-4" and done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0
    output = [json.loads(text) for text in client.files.content(done.output_file_id).iter_lines()]
    assert [row["custom_id"] for row in output] == [f"q-{n}" for n in range(20)]
    for row in output:
        assert set(row) == {"id", "custom_id", "response", "error"} and row["error"] is None
        body = row["response"]["body"]
        assert row["response"]["status_code"] == 200 and body["object"] == "chat.completion"
        assert body["choices"][0]["message"]["content"]
        assert client.get(f"/jobs/{row['response']['request_id']}", cast_to=object)["custom_id"] == row["custom_id"]
    charged = sum(round(row["response"]["body"]["usage"]["credits_used"] * 1_000_000) for row in output)
    assert charged == round(done.model_extra["credits_used"] * 1_000_000) > 0
    file = client.files.retrieve(done.output_file_id)
    assert file.purpose == "batch_output" and file.bytes == len(client.files.content(file.id).read())
    assert account.stack.violations() == []


def test_the_sdk_lists_batches_page_by_page(client: OpenAI) -> None:
    made = [submitted(client, jsonl(line("a"))).id for _ in range(5)]
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]


def test_the_sdk_cancels(client: OpenAI, account: Account) -> None:
    with account.stack.script({"contains": "held up", "fault": {"latency_seconds": 30}}):
        made = submitted(client, jsonl(*(line(f"held up {n}") for n in range(5)), line("quick")))
        await_condition(
            lambda: client.batches.retrieve(made.id).request_counts.completed == 1, seconds=20, what="the quick line"
        )
        assert client.batches.cancel(made.id).status == "cancelling"
        done = ended(lambda: client.batches.retrieve(made.id))
    assert done.status == "cancelled" and done.cancelling_at and done.cancelled_at
    assert done.request_counts.model_dump() == {"total": 6, "completed": 1, "failed": 5}
    assert json.loads(client.files.content(done.output_file_id).text)["custom_id"] == "quick"
    errors = [json.loads(text) for text in client.files.content(done.error_file_id).iter_lines()]
    assert {row["error"]["code"] for row in errors} == {"batch_cancelled"} and len(errors) == 5
    other = submitted(client, jsonl(line("b")))
    ended(lambda: client.batches.retrieve(other.id))
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(other.id)
    assert account.stack.violations() == []


def test_the_sdk_sees_what_is_wrong_with_a_file(client: OpenAI) -> None:
    content = jsonl(line("a"), line("b", temperature=5), line("a")) + b"{nonsense\n"
    made = submitted(client, content)
    done = ended(lambda: client.batches.retrieve(made.id))
    assert done.status == "failed" and done.failed_at
    assert [(error.line, error.code) for error in done.errors.data] == [
        (2, "invalid_request"),
        (3, "duplicate_custom_id"),
        (4, "invalid_json_line"),
    ]
    assert done.errors.data[0].param == "body.temperature" and "less than or equal to 2" in done.errors.data[0].message


def test_lines_that_fail_are_in_the_error_file(client: OpenAI, account: Account) -> None:
    with account.stack.script({"contains": "refuse me", "fault": {"status": 400, "message": "not that"}}):
        made = submitted(client, jsonl(line("good"), line("refuse me")))
        done = ended(lambda: client.batches.retrieve(made.id))
    assert done.status == "completed" and done.request_counts.failed == 1
    bad = json.loads(client.files.content(done.error_file_id).text)
    assert bad["custom_id"] == "refuse me" and bad["response"]["status_code"] == 400
    assert bad["response"]["body"]["error"]["type"] == "invalid_request"


def test_all_three_types_inline_and_the_test_key(account: Account) -> None:
    requests = [
        {"custom_id": name, "url": url, "body": line(name, url)["body"]}
        for name, url in (("chat", CHAT), ("vector", EMBED), ("picture", DRAW))
    ]
    made = account.test.post("/batches", json={"requests": requests}).json()
    assert made["status"] == "validating" and made["endpoint"] is None and made["input_file_id"].startswith("file_")
    assert account.live.get(f"/batches/{made['id']}").status_code == 404, "test and live do not see each other's"
    read = lambda: account.test.get(f"/batches/{made['id']}").json()  # noqa: E731
    await_condition(lambda: read()["status"] == "completed", seconds=30, what="the batch")
    done = read()
    assert done["credits_used"] == 0 and done["invoice_id"] is None
    rows = [json.loads(text) for text in account.test.get(f"/files/{done['output_file_id']}/content").text.splitlines()]
    bodies = {row["custom_id"]: row["response"]["body"] for row in rows}
    assert set(bodies) == {"chat", "vector", "picture"} and bodies["chat"]["usage"]["test"] is True
    assert len(bodies["vector"]["data"][0]["embedding"]) == 8 and bodies["picture"]["data"][0]["url"]


def test_one_endpoint_inline(account: Account) -> None:
    body = {"endpoint": EMBED, "requests": [{"custom_id": "a", "body": line("a", EMBED)["body"]}]}
    made = account.live.post("/batches", json=body).json()
    await_condition(
        lambda: account.live.get(f"/batches/{made['id']}").json()["status"] == "completed", seconds=30, what="the batch"
    )
    jobs = account.live.get("/jobs", params={"batch_id": made["id"]}).json()["data"]
    assert [(job["batch_id"], job["custom_id"], job["status"]) for job in jobs] == [(made["id"], "a", "succeeded")]


class TestDryRun:
    """What it would cost at most, and what is wrong with it, without a trace."""

    def test_its_price_is_what_the_batch_then_holds(self, client: OpenAI, account: Account) -> None:
        content = jsonl(*(line(f"q {n}", model=model) for n, model in enumerate(("gpt-4", "claude-3-opus"))))
        file = client.files.create(file=("lines.jsonl", io.BytesIO(content)), purpose="batch")
        quoted = account.live.post("/batches", json={"input_file_id": file.id, "dry_run": True}).json()
        assert quoted["object"] == "batch.dry_run" and quoted["valid"] and quoted["errors"] is None
        assert quoted["request_counts"]["total"] == 2 and quoted["credits_available"] == 10_000
        assert account.live.get("/batches").json()["data"] == []
        assert account.live.get("/credits").json()["held"] == 0
        with account.stack.script({"contains": "q ", "fault": {"latency_seconds": 30}}):
            made = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
            held = lambda: account.live.get("/credits").json()["held"]  # noqa: E731
            await_condition(held, seconds=20, what="the hold")
            assert held() == quoted["credits_worst_case"]
            client.batches.cancel(made.id)
            ended(lambda: client.batches.retrieve(made.id))

    def test_what_is_wrong(self, account: Account) -> None:
        body = {"requests": [line("a"), line("a"), line("b", n=999)], "dry_run": True}
        quoted = account.live.post("/batches", json=body).json()
        assert not quoted["valid"] and [error["line"] for error in quoted["errors"]["data"]] == [2, 3]


REFUSED: dict[str, tuple[dict[str, Any], int, str | None]] = {
    "neither": ({}, 400, "input_file_id"),
    "both": ({"input_file_id": "file_1", "requests": [line("a")]}, 400, "input_file_id"),
    "an absent file": ({"input_file_id": "file_1"}, 404, None),
    "an endpoint that is not served": ({"requests": [line("a")], "endpoint": "/v1/moderations"}, 400, "endpoint"),
    "a window of minutes": ({"requests": [line("a")], "completion_window": "90m"}, 400, "completion_window"),
    "a window too long": ({"requests": [line("a")], "completion_window": "169h"}, 400, "completion_window"),
    "a window of none": ({"requests": [line("a")], "completion_window": "0h"}, 400, "completion_window"),
    "metadata of numbers": ({"requests": [line("a")], "metadata": {"a": 1}}, 400, "metadata"),
    "too much metadata": ({"requests": [line("a")], "metadata": {str(n): "" for n in range(17)}}, 400, "metadata"),
    "no requests": ({"requests": []}, 400, "requests"),
    "a request that is none": ({"requests": [1]}, 400, "requests[0]"),
    "priority 10": ({"requests": [line("a")], "priority": 10}, 400, "priority"),
    "an unknown field": ({"requests": [line("a")], "color": "red"}, 400, "color"),
    "outputs kept a minute": (
        {"requests": [line("a")], "output_expires_after": {"anchor": "created_at", "seconds": 60}},
        400,
        "output_expires_after.seconds",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_at_once(account: Account, case: str) -> None:
    body, status, param = REFUSED[case]
    answer = account.live.post("/batches", json=body)
    assert answer.status_code == status, answer.text
    assert param is None or answer.json()["error"]["param"] == param
    assert account.live.get("/batches").json()["data"] == []


def test_the_same_key_and_body_is_the_same_batch(account: Account) -> None:
    body = {"requests": [line("a")]}
    headers = {"Idempotency-Key": "batch-1"}
    first, second = (account.live.post("/batches", json=body, headers=headers) for _ in range(2))
    assert first.json()["id"] == second.json()["id"] and second.headers["Idempotent-Replayed"] == "true"
    other = account.live.post("/batches", json={"requests": [line("b")]}, headers=headers)
    assert other.status_code == 422
    assert len(account.live.get("/batches").json()["data"]) == 1


def test_an_output_cannot_be_an_input_and_expires_when_told(client: OpenAI) -> None:
    made = submitted(
        client, jsonl(line("a")), extra_body={"output_expires_after": {"anchor": "created_at", "seconds": 3600}}
    )
    done = ended(lambda: client.batches.retrieve(made.id))
    file = client.files.retrieve(done.output_file_id)
    assert file.expires_at == file.created_at + 3600
    with pytest.raises(openai.BadRequestError, match="batch_output"):
        client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")


def test_another_accounts_batches_are_absent(account: Account, other: Account) -> None:
    made = account.live.post("/batches", json={"requests": [line("a")]}).json()
    for method, path in (("GET", ""), ("POST", "/cancel")):
        answer = other.live.request(method, f"/batches/{made['id']}{path}")
        assert answer.status_code == 404 and answer.json()["error"]["type"] == "not_found"
    assert other.live.get("/batches").json()["data"] == []
    assert other.live.get("/jobs", params={"batch_id": made["id"]}).json()["data"] == []
    mine = {"input_file_id": made["input_file_id"]}
    assert other.live.post("/batches", json=mine).status_code == 404


def test_realtime_goes_before_a_batch(account: Account) -> None:
    """While a thousand slow batch lines fill the batch lane, a single job is served at once."""
    with account.stack.script({"contains": "slow line", "fault": {"latency_seconds": 5}}):
        requests = [line(f"slow line {n}") for n in range(1000)]
        made = account.live.post("/batches", json={"requests": requests}).json()
        running = lambda: len(account.live.get("/jobs", params={"status": "running", "limit": 100}).json()["data"])  # noqa: E731
        await_condition(lambda: running() == 100, seconds=20, what="a full batch lane")
        job = account.run({"type": "chat.completion", **line("x")["body"]})
        assert job["status"] == "succeeded"
        assert account.live.get(f"/batches/{made['id']}").json()["request_counts"]["completed"] < 1000
        account.live.post(f"/batches/{made['id']}/cancel")
        await_condition(
            lambda: account.live.get(f"/batches/{made['id']}").json()["status"] == "cancelled",
            seconds=30,
            what="its end",
        )
