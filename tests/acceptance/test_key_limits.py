"""What a key may do, over HTTP: models at every door, budgets, requests and tokens a minute, fallbacks."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from shared import accounts, clock, key_limits
from shared.key_limits import Change
from shared.money import key_budgets
from tests.acceptance.stack import Account, Stack, chat, embedding, image
from tests.acceptance.test_every_dialect import CALLS, Call, send
from tests.conditions import await_condition

Limited = Callable[..., Account]


@pytest.fixture
def limited(stack: Stack) -> Iterator[Limited]:
    """Makes accounts whose live key, and test key but for budgets, has limits as `Change` takes them."""
    made: list[Account] = []

    def make(budgets: Any = (), **values: Any) -> Account:
        account = stack.account()
        for key, given in ((account.live_key, dict(budgets)), (account.test_key, {})):
            id = stack.write(accounts.named_key, key)
            stack.write(key_limits.change, id, Change(values, given))
        made.append(account)
        return account

    yield make
    for account in made:
        account.close()


#: The tokens that are left, by an answer's headers.
REMAINING: Callable[[httpx.Response], int] = lambda answer: int(answer.headers["x-ratelimit-remaining-tokens"])  # noqa: E731
every_call = pytest.mark.parametrize("call", CALLS, ids=[call.path for call in CALLS])


@every_call
@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_the_key_may_not_use_is_a_403_in_every_dialect(limited: Limited, call: Call, stream: bool) -> None:
    account = limited(models=["text-embedding-3-large"])
    for key in (account.live_key, account.test_key):
        answer = send(account.stack, call, key, body={**call.good, "stream": stream})
        assert answer.status_code == 403, answer.text
        assert "may use" in answer.text and "text-embedding-3-large" in answer.text
    assert not account.live.get("/jobs").json()["data"]


@every_call
@pytest.mark.parametrize("stream", [False, True])
def test_a_budget_that_is_exceeded_is_a_402_in_every_dialect(limited: Limited, call: Call, stream: bool) -> None:
    account = limited(budgets={"day": 1})
    answer = send(account.stack, call, account.live_key, body={**call.good, "stream": stream})
    assert answer.status_code == 402, answer.text
    assert "budget" in answer.text and "key_budget_exceeded" in answer.text and "renews" in answer.text
    assert send(account.stack, call, account.test_key).status_code == 200


@every_call
def test_a_keys_own_requests_are_a_429_in_every_dialect(limited: Limited, call: Call) -> None:
    account = limited(requests_per_minute=1)
    assert [send(account.stack, call, account.live_key).status_code for _ in range(2)] == [200, 429]


@every_call
def test_a_keys_tokens_are_a_429_in_every_dialect_and_a_400_where_no_minute_would_do(
    limited: Limited, call: Call
) -> None:
    account = limited(tokens_per_minute=20_000)
    key = account.stack.write(accounts.named_key, account.live_key)
    first = send(account.stack, call, account.live_key)
    left, used = REMAINING(first), 20_000 - REMAINING(first)
    assert first.status_code == 200 and 0 < used < 20_000 == left + used
    account.stack.write(key_limits.change, key, Change({"tokens_per_minute": used + used // 2}))
    ask = lambda: send(account.stack, call, account.live_key)  # noqa: E731
    refused = await_condition(lambda: one if (one := ask()).status_code == 429 else None, seconds=3, what="a 429")
    assert refused is not None and "tokens per minute" in refused.text and int(refused.headers["retry-after"]) > 1
    account.stack.write(key_limits.change, key, Change({"tokens_per_minute": used - 1}))
    await_condition(lambda: ask().status_code == 400, seconds=3, what="a 400")


def test_every_native_door_keeps_the_list(limited: Limited) -> None:
    account = limited(models=["openai.gpt-4", "claude-*"])
    assert account.run(chat())["status"] == "succeeded"
    assert account.run(chat(model="anthropic.claude-3-opus"))["status"] == "succeeded"
    refused: list[tuple[str, Any]] = [
        ("/jobs", chat(model="gpt-3.5-turbo")),
        ("/jobs", {"jobs": [chat(), embedding()]}),
        ("/jobs", image()),
        ("/jobs", chat(routing={"fallbacks": ["gemini-pro"]})),
        ("/jobs", chat(model={"llms": ["gemini-pro", "gpt-3.5-turbo"]})),
        ("/embeddings", {"model": "text-embedding-3-large", "input": "a"}),
    ]
    for path, body in refused:
        answer = account.live.post(path, json=body)
        error = answer.json()["error"]
        assert answer.status_code == 403 and error["type"] == "forbidden", answer.text
        assert error["reason"] == "model_not_allowed" and "it may use: openai.gpt-4, claude-*" in error["message"]
    assert account.live.post("/jobs", json={"jobs": [chat(), embedding()]}).json()["error"]["param"] == "jobs[1].model"


def test_a_selection_leaves_out_what_the_key_may_not_use(limited: Limited) -> None:
    account = limited(models=["claude-3-*", "gpt-4"])
    for model in ({"llms": ["gemini-pro", "claude-3-sonnet", "gpt-3.5-turbo"]}, {}):
        job = account.run(chat(model=model))
        assert job["status"] == "succeeded" and job["served_by"]["model"] in (
            "claude-3-sonnet",
            "claude-3-opus",
            "gpt-4",
        )
    assert account.run({key: value for key, value in chat().items() if key != "model"})["status"] == "succeeded"


def test_models_are_listed_that_the_key_may_use(limited: Limited, stack: Stack) -> None:
    account = limited(models=["gpt-4", "claude-3-opus"])
    for client in (account.live, account.test):
        assert {model["id"] for model in client.get("/models").json()["data"]} == {"gpt-4", "claude-3-opus"}
        assert client.get("/models/gpt-4").status_code == 200 and client.get("/models/gemini-pro").status_code == 404
    headers = {"x-api-key": account.live_key, "anthropic-version": "2023-06-01"}
    found = httpx.get(stack.url + "/v1/models", headers=headers, trust_env=False).json()["data"]
    assert "claude-3-opus" in {model["id"] for model in found} <= {"gpt-4", "claude-3-opus"}


def test_lines_of_a_batch_keep_the_list(limited: Limited) -> None:
    account = limited(models=["gpt-4"])
    good = {"custom_id": "a", "url": "/v1/chat/completions", "body": {k: v for k, v in chat().items() if k != "type"}}
    bad = {**good, "custom_id": "b", "body": {**good["body"], "model": "gemini-pro"}}
    dry = account.live.post("/batches", json={"requests": [good, bad], "dry_run": True}).json()
    assert not dry["valid"] and dry["errors"]["data"][0]["line"] == 2
    batch = ended(account, account.live.post("/batches", json={"requests": [good, bad]}).json()["id"])
    (fault,) = batch["errors"]["data"]
    assert batch["status"] == "failed" and fault["line"] == 2 and "may not use the model gemini-pro" in fault["message"]
    assert (
        ended(account, account.live.post("/batches", json={"requests": [good]}).json()["id"])["status"] == "completed"
    )


def test_a_batch_counts_in_the_budget(limited: Limited) -> None:
    account = limited(budgets={"month": 1_000_000})
    body = {k: v for k, v in chat().items() if k != "type"}
    lines = [{"custom_id": str(n), "url": "/v1/chat/completions", "body": body} for n in range(3)]
    done = ended(account, account.live.post("/batches", json={"requests": lines}).json()["id"])
    assert done["status"] == "completed"
    stack = account.stack
    key = stack.write(accounts.named_key, account.live_key)
    spent = stack.database.read_sync(_spent, key)
    assert spent == (0, round(account.live.get("/usage").json()["credits_used"] * 1_000_000)) and spent[1]
    dry = account.live.post("/batches", json={"requests": lines, "dry_run": True}).json()
    assert dry["shortage"] is None
    many = [{**lines[0], "custom_id": str(n)} for n in range(2000)]
    short = account.live.post("/batches", json={"requests": many, "dry_run": True}).json()["shortage"]
    assert short["budget"]["period"] == "month" and 0 < short["fitting_jobs"] < 2000
    (fault,) = ended(account, account.live.post("/batches", json={"requests": many}).json()["id"])["errors"]["data"]
    assert fault["code"] == "key_budget_exceeded" and fault["budget"]["period"] == "month"
    assert 0 < fault["fitting_jobs"] < 2000 and stack.violations() == []


def test_an_answer_from_the_cache_counts_what_it_costs(limited: Limited) -> None:
    account = limited(budgets={"month": 1_000_000})
    call = next(one for one in CALLS if one.path == "/fluence/v1/chat/completions")
    body = {**call.good, "temperature": 0, "messages": [{"role": "user", "content": "what is cached?"}]}
    answers = [send(account.stack, call, account.live_key, body=body).json() for _ in range(3)]
    assert [one.get("cached", False) for one in answers] == [False, True, True]
    key = account.stack.write(accounts.named_key, account.live_key)
    used = round(account.live.get("/usage").json()["credits_used"] * 1_000_000)
    assert account.stack.database.read_sync(_spent, key) == (0, used) and account.stack.violations() == []


def test_default_fallbacks_are_the_keys_then_the_accounts(limited: Limited) -> None:
    """What the key may not use is left out of them; `routing.fallbacks` of a request comes before both."""
    account = limited(models=["gpt-4", "claude-3-opus", "gemini-pro"], fallbacks=["gpt-3.5-turbo", "claude-3-opus"])
    stack = account.stack
    key = stack.write(accounts.named_key, account.live_key)
    with stack.script({"provider": "openai", "contains": "default fallback", "fault": {"status": 500}}):
        served = lambda **more: account.run(chat("default fallback", **more))["served_by"]  # noqa: E731
        assert served()["model"] == "claude-3-opus"
        assert served(routing={"fallbacks": ["gemini-pro"]})["model"] == "gemini-pro"
        stack.write(key_limits.set_account_fallbacks, account.id, ["gemini-pro"])
        stack.write(key_limits.change, key, Change({"fallbacks": None}))
        await_condition(lambda: served()["model"] == "gemini-pro", seconds=20, what="the account's fallbacks")
        stack.write(key_limits.change, key, Change({"fallbacks": []}))
        last = lambda: account.run(chat("default fallback"))["status"]  # noqa: E731
        await_condition(lambda: last() == "failed", seconds=20, what="no fallbacks")
    stack.settle_providers()


def test_limits_that_are_set_or_taken_away_hold_within_a_second(limited: Limited) -> None:
    account = limited()
    key = account.stack.write(accounts.named_key, account.live_key)
    ask = lambda: account.live.post("/jobs", json=chat()).status_code  # noqa: E731
    assert ask() == 202
    account.stack.write(key_limits.change, key, Change({"models": ["gemini-pro"]}))
    await_condition(lambda: ask() == 403, seconds=2, what="the list")
    account.stack.write(key_limits.change, key, Change({"models": None}, {"day": 1}))
    await_condition(lambda: ask() == 402, seconds=2, what="the budget")
    account.stack.write(key_limits.change, key, Change({"requests_per_minute": 1}, {"day": None}))
    await_condition(lambda: ask() == 429, seconds=2, what="the requests")
    account.stack.write(key_limits.change, key, Change({"requests_per_minute": None}))
    await_condition(lambda: ask() == 202, seconds=2, what="no limit")


def test_the_official_client_reads_the_refusals(limited: Limited) -> None:
    account = limited(models=["gpt-4"], budgets={"total": 1})
    client = openai.OpenAI(api_key=account.live_key, base_url=account.stack.url + "/v1", max_retries=0)
    body: Any = {"messages": [{"role": "user", "content": "hi"}]}
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="gemini-pro", **body)
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model="gpt-4", **body)
    assert refused.value.status_code == 402 and json.loads(refused.value.response.text)["error"]["budget"]["credits"]


def ended(account: Account, id: str) -> dict[str, Any]:
    """A batch when it is over."""

    def over() -> dict[str, Any] | None:
        batch = account.live.get(f"/batches/{id}").json()
        return batch if batch["status"] in ("completed", "failed", "expired", "cancelled") else None

    return await_condition(over, what=f"the end of {id}") or {}


def _spent(connection: Any, key: str) -> tuple[int, int]:
    found = key_budgets.of_key(connection, key, clock.now_micros())["month"]
    return found.held, found.spent
