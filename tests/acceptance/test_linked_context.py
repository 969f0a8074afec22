"""linked_context elsewhere than in Fusionbase's dialect: native calls, jobs, lists, lines of batches, retries."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from producer.dialects import DIALECTS
from producer.web.dialect import Dialect
from shared import accounts
from shared.db.models import job_payloads
from shared.entities import store
from shared.submissions.linked_context import Entity
from tests.acceptance.extras import ask
from tests.acceptance.stack import Account, chat
from tests.conditions import await_condition

REF = {"type": "ORGANIZATION", "id": "org-7"}
LINKED: dict[str, Any] = {"linked_context": [REF]}
COMPANY = Entity("ORGANIZATION", "org-7", "Example AG", {"seat": "Berlin"}, "Makes examples.")
TOLD = "ORGANIZATION org-7: Example AG\n- seat: Berlin\nMakes examples."


@pytest.fixture
def linking(account: Account) -> Iterator[Account]:
    """An account with access and an entity of its own."""
    account.stack.write(store.save, account.id, [COMPANY])
    allow(account)
    yield account


def allow(account: Account) -> None:
    """Give an account access, and wait until the web process knows."""
    account.stack.write(accounts.set_linked_context, account.id, True)
    body = chat(linked_context=[{"type": "X", "id": "absent"}])
    await_condition(lambda: account.live.post("/jobs", json=body).status_code == 400, what="access")


def sent(account: Account, job_id: str) -> list[dict[str, Any]]:
    """The messages that a job's model is sent."""
    statement = select(job_payloads.c.request).where(job_payloads.c.job_id == job_id)
    request = account.stack.database.read_sync(lambda connection: connection.execute(statement).scalar_one())
    return list(json.loads(request)["messages"])


def told(account: Account, job_id: str) -> bool:
    """Whether what is known of the entity stands before the conversation, once."""
    messages = sent(account, job_id)
    return messages[0]["role"] == "system" and [TOLD in str(one["content"]) for one in messages].index(True) == 0


@pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.name for dialect in DIALECTS])
def test_a_call_in_each_dialect(linking: Account, dialect: Dialect) -> None:
    answer = ask(linking, dialect, "hello", **LINKED)
    assert answer.status_code == 200, answer.text
    assert told(linking, answer.headers["FusionAI-Job-Id"])
    absent = ask(linking, dialect, "hello", linked_context=[REF, {"type": "X", "id": "absent"}])
    assert absent.status_code == 400 and "linked_context[1].id" in absent.text


def test_a_job_shows_what_it_was_linked_to(linking: Account) -> None:
    plain, job = linking.run(chat()), linking.run(chat(**LINKED))
    assert job["status"] == "succeeded" and job["linked_context"] == [REF] and told(linking, job["id"])
    assert job["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"]
    listed = linking.live.get("/jobs", params={"ids": job["id"]}).json()["data"]
    assert listed[0]["linked_context"] == [REF]


def test_a_list_of_jobs_names_the_one_that_is_wrong(linking: Account) -> None:
    wrong = {"linked_context": [REF, {"type": "PERSON", "id": "nobody"}]}
    answer = linking.live.post("/jobs", json={"jobs": [chat(**LINKED), chat(**wrong)]})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "jobs[1].linked_context[1].id"
    made = linking.live.post("/jobs", json={"jobs": [chat(**LINKED), chat()]}).json()["data"]
    assert [job.get("linked_context") for job in made] == [[REF], None]


def test_a_request_that_is_sent_again_is_answered_whatever_became_of_its_entities(linking: Account) -> None:
    headers = {"Idempotency-Key": "linked"}
    first = linking.submit(chat(**LINKED), headers=headers)
    linking.stack.write(store.remove, linking.id, COMPANY.key)
    again = linking.live.post("/jobs", json=chat(**LINKED), headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true" and again.json()["id"] == first["id"]
    assert linking.live.post("/jobs", json=chat(**LINKED)).status_code == 400


@pytest.mark.parametrize(
    "refs, param",
    [
        ("x", "linked_context"),
        ([REF] * 21, "linked_context"),
        ([{"type": "ORGANIZATION"}], "linked_context[0].id"),
        ([{**REF, "id": ""}], "linked_context[0].id"),
        ([{**REF, "id": "a\nb"}], "linked_context[0].id"),
        ([{**REF, "type": "A B"}], "linked_context[0].type"),
        ([REF, {**REF, "name": "x"}], "linked_context[1].name"),
        ([REF, {**REF, "id": 7}], "linked_context[1].id"),
        ([{**REF, "id": "' OR 1=1 --"}], "linked_context[0].id"),
        ([{**REF, "id": "../../etc"}], "linked_context[0].id"),
    ],
)
def test_hostile_references(linking: Account, refs: Any, param: str) -> None:
    answer = linking.live.post("/jobs", json=chat(linked_context=refs))
    assert answer.status_code == 400 and answer.json()["error"]["param"] == param, answer.text


def test_only_chats_are_linked(linking: Account) -> None:
    body = {"type": "embedding", "model": "text-embedding-3-large", "input": "a", **LINKED}
    assert linking.live.post("/jobs", json=body).json()["error"]["param"] == "linked_context"


@pytest.mark.parametrize("nothing", [[], None])
def test_no_references_need_no_access(account: Account, nothing: Any) -> None:
    assert account.live.post("/jobs", json=chat(linked_context=nothing)).status_code == 202


def test_a_refusal_numbers_the_messages_as_they_were_sent(linking: Account) -> None:
    picture = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    messages = [{"role": "user", "content": "look"}, {"role": "user", "content": picture}]
    body = chat(**LINKED) | {"model": "deepinfra.deepseek-r1", "messages": messages}
    alone = {name: value for name, value in body.items() if name != "linked_context"}
    answers = [linking.live.post("/jobs", json=one).json()["error"] for one in (body, alone)]
    assert answers[0] | {"request_id": ""} == answers[1] | {"request_id": ""}
    assert answers[0]["param"].startswith("messages[1]")


def line(custom_id: str, **changes: Any) -> dict[str, Any]:
    body = {name: value for name, value in chat(**changes).items() if name != "type"}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def ended(account: Account, batch: dict[str, Any]) -> dict[str, Any]:
    """A batch as it ended."""

    def final() -> dict[str, Any] | None:
        found = dict(account.live.get(f"/batches/{batch['id']}").json())
        return found if found["status"] in ("completed", "failed", "cancelled", "expired") else None

    return await_condition(final, what="the end of the batch") or {}


def test_lines_of_a_batch_are_linked_and_so_is_their_retry(linking: Account) -> None:
    lines = [line("a", **LINKED), line("b"), line("c", content="fail this", **LINKED)]
    dry = linking.live.post("/batches", json={"requests": lines, "dry_run": True}).json()
    assert dry["valid"], dry
    rule = {"contains": "fail this", "fault": {"status": 400}}
    with linking.stack.script(rule):
        batch = ended(linking, linking.live.post("/batches", json={"requests": lines}).json())
    assert batch["status"] == "completed" and batch["request_counts"]["failed"] == 1, batch
    jobs = linking.live.get("/jobs", params={"batch_id": batch["id"]}).json()["data"]
    assert {job["custom_id"]: job.get("linked_context") for job in jobs} == {"a": [REF], "b": None, "c": [REF]}
    assert all(told(linking, job["id"]) for job in jobs if job["custom_id"] != "b")
    again = ended(linking, linking.live.post(f"/batches/{batch['id']}/retry", json={}).json())
    assert again["request_counts"] == {"total": 1, "completed": 1, "failed": 0}, again
    (job,) = linking.live.get("/jobs", params={"batch_id": again["id"]}).json()["data"]
    assert job["linked_context"] == [REF] and told(linking, job["id"]) and len(sent(linking, job["id"])) == 2


def test_a_line_that_names_an_unknown_entity_is_a_fault(linking: Account) -> None:
    lines = [line("a", **LINKED), line("b", linked_context=[REF, {"type": "PERSON", "id": "x"}])]
    batch = ended(linking, linking.live.post("/batches", json={"requests": lines}).json())
    (fault,) = batch["errors"]["data"]
    assert (batch["status"], fault["line"], fault["param"]) == ("failed", 2, "body.linked_context[1].id")


def test_a_batch_of_an_account_without_access(account: Account) -> None:
    batch = ended(account, account.live.post("/batches", json={"requests": [line("a", **LINKED)]}).json())
    (fault,) = batch["errors"]["data"]
    assert batch["status"] == "failed" and fault["param"] == "body.linked_context" and "operator" in fault["message"]
