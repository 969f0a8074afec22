"""Rate limits over HTTP: what counts, what each answer says, and that a refusal costs nothing."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from shared import accounts
from tests.acceptance.stack import Account, Stack, chat, embedding, image
from tests.conditions import await_condition

LINE = {"custom_id": "a", "url": "/v1/embeddings", "body": {"model": "text-embedding-3-large", "input": "hi"}}
NAMES = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")


def bare(body: dict[str, Any]) -> dict[str, Any]:
    """The body as its own route takes it."""
    return {name: value for name, value in body.items() if name != "type"}


#: The POSTs that make jobs.
COUNTED: list[tuple[str, Any]] = [
    ("/jobs", chat()),
    ("/jobs", {"jobs": [chat(), embedding()]}),
    ("/chat/completions", bare(chat())),
    ("/embeddings", bare(embedding())),
    ("/images", bare(image())),
    ("/images/generations", bare(image())),
    ("/batches", {"requests": [LINE, {**LINE, "custom_id": "b"}]}),
    ("/batches", {"requests": [LINE], "dry_run": True}),
]


@pytest.fixture
def limited(stack: Stack) -> Iterator[Callable[[int], Account]]:
    """Makes accounts with so many requests a minute."""
    made: list[Account] = []

    def make(per_minute: int) -> Account:
        account = stack.account()
        stack.write(accounts.set_requests_per_minute, account.id, per_minute)
        made.append(account)
        return account

    yield make
    for account in made:
        account.close()


def rest(answer: httpx.Response) -> tuple[int, int]:
    """The limit, and what is left of it, by the answer's headers."""
    assert answer.headers[NAMES[2]].endswith("s") and 0 <= float(answer.headers[NAMES[2]][:-1]) <= 60.3
    return int(answer.headers[NAMES[0]]), int(answer.headers[NAMES[1]])


def test_each_post_that_makes_jobs_counts_as_one(limited: Callable[[int], Account]) -> None:
    account = limited(50)
    for n, (path, body) in enumerate(COUNTED, 1):
        answer = account.live.post(path, json=body)
        assert answer.status_code in (200, 202), answer.text
        assert rest(answer) == (50, 50 - n), path
    assert rest(httpx.post(account.stack.url + "/jobs", json=chat(), headers=account.live.headers))[1] == 41


def test_refused_ones_count_too_and_say_what_is_left(limited: Callable[[int], Account]) -> None:
    account = limited(20)
    wrong: list[tuple[int, dict[str, Any]]] = [
        (400, {"json": chat(temperature=9)}),
        (400, {"content": b"{", "headers": {"content-type": "application/json"}}),
        (415, {"content": b"{}", "headers": {"content-type": "text/plain"}}),
        (413, {"json": {"jobs": [chat()] * 1001}}),
    ]
    for n, (status, request) in enumerate(wrong, 1):
        answer = account.live.post("/jobs", **request)
        assert answer.status_code == status and rest(answer) == (20, 20 - n)


def test_nothing_else_counts(limited: Callable[[int], Account]) -> None:
    account = limited(1)
    job = account.submit(chat())
    for path in ("/jobs", f"/jobs/{job['id']}", "/credits", "/models", "/batches", "/events"):
        answer = account.live.get(path)
        assert answer.status_code == 200 and not any(name in answer.headers for name in NAMES)
    assert account.live.post(f"/jobs/{job['id']}/cancel").status_code == 200
    assert account.live.post("/webhooks", json={"url": "http://127.0.0.1:9/hook"}).status_code == 200
    assert account.live.post("/jobs", json=chat()).status_code == 429


@pytest.mark.parametrize(("path", "body"), COUNTED)
def test_a_refusal_costs_nothing_and_leaves_nothing(limited: Callable[[int], Account], path: str, body: Any) -> None:
    account = limited(1)
    account.live.post("/jobs", json={})
    answer = account.live.post(path, json=body, headers={"Idempotency-Key": "k"})
    error = answer.json()["error"]
    assert answer.status_code == 429 and (error["type"], error["code"]) == ("rate_limit_exceeded", 429)
    assert rest(answer) == (1, 0) and 1 <= int(answer.headers["retry-after"]) <= 61
    assert "x-should-retry" not in answer.headers, "an SDK may try again"
    assert account.live.get("/jobs").json()["data"] == [] == account.live.get("/batches").json()["data"]
    credits = account.live.get("/credits").json()
    assert (credits["available"], credits["held"]) == (10_000, 0)
    account.stack.write(accounts.set_requests_per_minute, account.id, None)
    again = await_condition(lambda: taken(account, path, body), what="the new limit")
    assert "idempotent-replayed" not in again.headers, "a 429 is no answer that is kept"


def taken(account: Account, path: str, body: Any) -> httpx.Response | None:
    """The answer, once it is no 429."""
    answer = account.live.post(path, json=body, headers={"Idempotency-Key": "k"})
    return answer if answer.status_code != 429 else None


def test_replays_count_and_live_and_test_keys_share(limited: Callable[[int], Account]) -> None:
    account = limited(4)
    headers = {"Idempotency-Key": "k"}
    assert [rest(account.live.post("/jobs", json=chat(), headers=headers))[1] for _ in range(2)] == [3, 2]
    assert rest(account.test.post("/jobs", json=chat()))[1] == 1


def test_a_plan_or_a_number_of_its_own_holds_within_a_second(stack: Stack) -> None:
    account = stack.account(plan="starter")
    assert rest(account.live.post("/jobs", json=embedding())) == (100, 99)

    def limit() -> str | None:
        return account.live.post("/jobs", json={}).headers.get(NAMES[0])

    for change, wanted in [
        (lambda: stack.write(accounts.set_plan, account.id, "professional"), "600"),
        (lambda: stack.write(accounts.set_requests_per_minute, account.id, 30), "30"),
        (lambda: stack.write(accounts.set_plan, account.id, "enterprise"), "30"),
        (lambda: stack.write(accounts.set_requests_per_minute, account.id, None), None),
    ]:
        change()
        await_condition(lambda wanted=wanted: limit() == wanted, seconds=5, what=f"a limit of {wanted}")  # type: ignore[misc]
    account.close()


def test_the_sdk_sees_a_rate_limit_error(limited: Callable[[int], Account]) -> None:
    account = limited(1)
    with openai.OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, max_retries=0) as client:
        client.embeddings.create(model="text-embedding-3-large", input="a")
        with pytest.raises(openai.RateLimitError) as refused:
            client.embeddings.create(model="text-embedding-3-large", input="a")
    assert refused.value.response.headers["retry-after"] and refused.value.type == "rate_limit_exceeded"
