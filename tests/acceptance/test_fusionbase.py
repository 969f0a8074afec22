"""Fusionbase's document, statement by statement; only base URL and key are replaced."""

import json
import re
from typing import Any

import pytest
import requests
from sqlalchemy import select

from shared import accounts
from shared.db.models import job_payloads
from shared.entities import store
from shared.submissions.linked_context import Entity
from tests.acceptance.stack import Account
from tests.conditions import await_condition

BODY: dict[str, Any] = {
    "model": "fusion-one",
    "messages": [
        {"role": "system", "content": "You answer in one sentence."},
        {"role": "user", "content": "What is a commercial register?"},
    ],
}


def post(account: Account, body: Any, headers: dict[str, str] | None = None) -> requests.Response:
    """A call with the headers of its document."""
    sent = {"X-API-KEY": account.live_key} if headers is None else headers
    return requests.post(account.stack.url + "/api/v2/chat/completions", json=body, headers=sent, timeout=40)


def fault(answer: requests.Response, status: int, type: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = dict(answer.json())
    assert (error["status"], error["type"]) == (status, type) and error["message"], error
    return error


def test_the_answer_has_the_documented_structure(account: Account) -> None:
    answer = post(account, BODY)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert re.fullmatch("[0-9a-f]{32}", made["id"])
    assert made["object"] == "chat.completion" and isinstance(made["created"], int) and made["model"] == "fusion-one"
    usage = made["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    (choice,) = made["choices"]
    assert choice["message"]["role"] == "assistant" and choice["message"]["content"]
    assert (choice["logprobs"], choice["finish_reason"], choice["index"]) == (None, "stop", 0)


def test_the_model_is_the_requests(account: Account) -> None:
    assert post(account, {**BODY, "model": "gpt-4.1"}).json()["model"] == "gpt-4.1"


def test_log_probabilities_are_there_when_asked_for(account: Account) -> None:
    """Of a model that has them, as the sandbox of test keys does."""
    made = post(account, {**BODY, "model": "gpt-4.1", "logprobs": True}, {"X-API-KEY": account.test_key}).json()
    content = made["choices"][0]["logprobs"]["content"]
    assert "".join(one["token"] for one in content) == made["choices"][0]["message"]["content"]
    assert all(one["logprob"] <= 0 for one in content)


def test_a_stream_has_one_id_of_the_same_form(account: Account) -> None:
    answer = post(account, {**BODY, "stream": True})
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    ids = {json.loads(one)["id"] for one in data[:-1]}
    assert data[-1] == "[DONE]" and len(ids) == 1 and re.fullmatch("[0-9a-f]{32}", ids.pop())


@pytest.mark.parametrize(
    "change, param",
    [
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "narrator", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"linked_context": "ORGANIZATION"}, "linked_context"),
        ({"linked_context": [{"type": "ORGANIZATION"}]}, "linked_context[0].id"),
        ({"linked_context": [{"id": "org-1"}]}, "linked_context[0].type"),
    ],
)
def test_an_error_says_what_is_wrong(account: Account, change: dict[str, Any], param: str) -> None:
    assert fault(post(account, {**BODY, **change}), 400, "invalid_request")["param"] == param


def test_its_key_header_and_no_other(account: Account) -> None:
    fault(post(account, BODY, {}), 401, "unauthorized")
    fault(post(account, BODY, {"X-API-KEY": "wrong"}), 401, "unauthorized")
    fault(post(account, BODY, {"Authorization": f"Bearer {account.live_key}"}), 401, "unauthorized")
    both = {"X-API-KEY": account.live_key, "Authorization": f"Bearer {account.live_key}"}
    fault(post(account, BODY, both), 400, "invalid_request")


def test_a_provider_that_fails_is_a_5xx(account: Account) -> None:
    with account.stack.script({"contains": "break here", "fault": {"status": 500}}):
        broken = {**BODY, "messages": [{"role": "user", "content": "break here"}]}
        fault(post(account, broken), 502, "upstream_error")


#: The request that the document describes, on entities that the operator has imported.
LINKED: dict[str, Any] = {
    **BODY,
    "linked_context": [{"type": "ORGANIZATION", "id": "org-1"}, {"type": "PERSON", "id": "per-1"}],
}
_COMPANY = Entity("ORGANIZATION", "org-1", "Example AG", {"seat": "Berlin", "staff": 3}, "Makes examples.")
_PERSON = Entity("PERSON", "per-1", "Erika Beispiel", {"role": "managing director"})


def linking_account(account: Account, *imported: Entity, owner: str | None = None) -> None:
    """Give the account access, and entities to the account or to all."""
    write = account.stack.write
    write(accounts.set_linked_context, account.id, True)
    write(store.save, account.id if owner is None else owner, imported)
    url, key = account.stack.url + "/api/v2/chat/completions", account.live_key
    body = {**BODY, "linked_context": [{"type": "X", "id": "absent"}]}
    headers = {"X-API-KEY": key}

    def allowed() -> bool:
        return requests.post(url, json=body, headers=headers, timeout=40).status_code != 403

    await_condition(allowed, what="the account's access")


def test_linked_entities_are_put_before_the_conversation(account: Account) -> None:
    linking_account(account, _COMPANY, _PERSON)
    with account.stack.script():
        answer = post(account, LINKED)
        assert answer.status_code == 200, answer.text
        alone = post(account, BODY)
    messages = sent_messages(account, answer.headers["FusionAI-Job-Id"])
    told = messages[0]["content"]
    assert messages[0]["role"] == "system" and messages[1:] == BODY["messages"]
    assert "ORGANIZATION org-1: Example AG\n- seat: Berlin\n- staff: 3\nMakes examples." in told
    assert told.endswith("PERSON per-1: Erika Beispiel\n- role: managing director")
    assert answer.json()["usage"]["prompt_tokens"] > alone.json()["usage"]["prompt_tokens"]
    job = account.live.get(f"/jobs/{answer.headers['FusionAI-Job-Id']}").json()
    assert job["linked_context"] == LINKED["linked_context"]
    assert "linked_context" not in account.live.get(f"/jobs/{alone.headers['FusionAI-Job-Id']}").json()


def sent_messages(account: Account, job_id: str) -> list[dict[str, Any]]:
    """What a job's model was sent."""
    payloads = account.stack.database.read_sync(
        lambda connection: connection.execute(
            select(job_payloads.c.request).where(job_payloads.c.job_id == job_id)
        ).scalar_one()
    )
    return list(json.loads(payloads)["messages"])


def test_an_account_without_access_is_refused(account: Account) -> None:
    account.stack.write(store.save, account.id, [_COMPANY, _PERSON])
    error = fault(post(account, LINKED), 403, "forbidden")
    assert error["param"] == "linked_context" and "operator" in error["message"]


def test_an_unknown_entity_is_named(account: Account) -> None:
    linking_account(account, _COMPANY)
    error = fault(post(account, LINKED), 400, "invalid_request")
    assert error["param"] == "linked_context[1].id" and "PERSON 'per-1'" in error["message"]


def test_another_accounts_entity_looks_as_if_it_were_not_there(account: Account) -> None:
    other = account.stack.account()
    linking_account(account, _COMPANY)
    account.stack.write(store.save, other.id, [_PERSON])
    hidden = fault(post(account, LINKED), 400, "invalid_request")
    account.stack.write(store.remove, other.id, _PERSON.key)
    absent = fault(post(account, LINKED), 400, "invalid_request")
    assert {**hidden, "request_id": ""} == {**absent, "request_id": ""}
    other.close()


def test_an_own_entity_wins_over_a_shared_one(account: Account) -> None:
    mine = f"org-{account.id}"
    common = Entity("ORGANIZATION", mine, "As all know it")
    linking_account(account, common, owner=store.SHARED)
    body = {**BODY, "linked_context": [{"type": "ORGANIZATION", "id": mine}]}
    shared = post(account, body)
    linking_account(account, Entity("ORGANIZATION", mine, "As we know it"))
    own = post(account, body)
    assert "As all know it" in sent_messages(account, shared.headers["FusionAI-Job-Id"])[0]["content"]
    assert "As we know it" in sent_messages(account, own.headers["FusionAI-Job-Id"])[0]["content"]
