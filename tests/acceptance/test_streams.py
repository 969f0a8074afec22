"""Streams over real HTTP: what is read is what is stored, whoever goes away meanwhile; and no end but a settled one."""

from typing import Any

import httpx
import pytest
import redis

from shared.answers import streams
from tests.acceptance.sse import Event, added_up, events
from tests.acceptance.stack import Account, Stack, chat, embedding, image
from tests.conditions import await_condition

TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
LONG = "a question with a good many words in it, so that its answer comes in a good many pieces"


def streamed(content: str = LONG, **changes: Any) -> dict[str, Any]:
    return chat(content, stream=True, **changes)


def slowly(contains: str, seconds: float = 3.0) -> dict[str, Any]:
    """A rule: the provider's answer takes so long."""
    return {"contains": contains, "fault": {"kind": "slow_body", "seconds": seconds}}


def read(account: Account, id: str, after: str | None = None, client: httpx.Client | None = None) -> list[Event]:
    """The whole stream of a job."""
    headers = {"last-event-id": after} if after else {}
    with (client or account.live).stream("GET", f"/jobs/{id}/stream", headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["fusionai-job-id"] == id and response.headers["cache-control"] == "no-cache"
        return list(events(response))


def first(account: Account, id: str, count: int, after: str | None = None) -> list[Event]:
    """The first events of a stream, and then the client is gone."""
    found: list[Event] = []
    headers = {"last-event-id": after} if after else {}
    with account.live.stream("GET", f"/jobs/{id}/stream", headers=headers) as response:
        for event in events(response):
            found.append(event)
            if len(found) == count:
                break
    return found


def check_whole(account: Account, id: str, found: list[Event]) -> dict[str, Any]:
    """The events end well and add up to the stored result, which is given back."""
    job = account.finished(id)
    result = dict(job["result"])
    assert job["status"] == "succeeded" and found[-1].data == "[DONE]"
    *chunks, usage = [event.json for event in found[:-1]]
    assert added_up(chunks) == result["choices"]
    assert usage["choices"] == [] and usage["usage"] == result["usage"]
    for chunk in (*chunks, usage):
        assert {name: chunk[name] for name in ("id", "created", "model")} == {
            name: result[name] for name in ("id", "created", "model")
        }
    return result


@pytest.mark.parametrize("mode", ["live", "test"])
@pytest.mark.parametrize(
    "changes", [{}, {"n": 3}, {"max_tokens": 3}], ids=["plain", "three choices", "cut by max_tokens"]
)
def test_a_stream_adds_up_to_the_stored_result(account: Account, mode: str, changes: dict[str, Any]) -> None:
    client = getattr(account, mode)
    id = client.post("/jobs", json=streamed(**changes)).json()["id"]
    found = read(account, id, client=client)
    job = client.get(f"/jobs/{id}").json()
    *chunks, usage = [event.json for event in found[:-1]]
    assert found[-1].data == "[DONE]" and added_up(chunks) == job["result"]["choices"]
    assert usage["usage"] == job["result"]["usage"] and usage["usage"].get("test") == (True if mode == "test" else None)


def test_tool_calls_are_streamed_in_pieces(account: Account, stack: Stack) -> None:
    body = streamed("tools, slowly", tools=[TOOL], tool_choice="required")
    with stack.script(slowly("tools, slowly", 0.5)):
        id = account.submit(body)["id"]
        found = read(account, id)
    result = check_whole(account, id, found)
    (call,) = result["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather" and result["choices"][0]["finish_reason"] == "tool_calls"


def test_what_is_streamed_is_what_the_unstreamed_call_answers(account: Account, stack: Stack) -> None:
    for changes in ({}, {"tools": [TOOL], "tool_choice": "required"}, {"response_format": {"type": "json_object"}}):
        plain = account.run(chat("the same", **changes))["result"]
        alike = account.run(streamed("the same", **changes))["result"]
        assert alike["choices"] == plain["choices"] and alike["usage"] == plain["usage"]
    with stack.script({"contains": "no thanks", "fault": {"kind": "refusal"}}):
        assert account.run(chat("no thanks"))["result"]["choices"][0]["message"]["refusal"]
        id = account.submit(streamed("no thanks"))["id"]
        check_whole(account, id, read(account, id))


def test_chunks_come_while_the_provider_still_speaks(account: Account, stack: Stack) -> None:
    with stack.script(slowly("piece by piece", 2.0)):
        id = account.submit(streamed("piece by piece"))["id"]
        (role, word) = first(account, id, 2)
        assert account.live.get(f"/jobs/{id}").json()["status"] == "running"
        assert role.json["choices"][0]["delta"]["role"] == "assistant" and word.json["choices"][0]["delta"]["content"]
        check_whole(account, id, read(account, id))


def test_a_dropped_client_resumes_where_it_was(account: Account, stack: Stack) -> None:
    with stack.script(slowly("come back", 1.5)):
        id = account.submit(streamed("come back"))["id"]
        begun = first(account, id, 3)
        more = first(account, id, 2, begun[-1].id)
        found = [*begun, *more, *read(account, id, more[-1].id)]
    check_whole(account, id, found)
    ids = [event.id for event in found if event.id]
    assert len(set(ids)) == len(ids), "no event comes twice"
    for at in (0, 2, len(begun) + 1):
        check_whole(account, id, [*found[: at + 1], *read(account, id, found[at].id)])
    assert len(account.live.get(f"/jobs/{id}").json()["attempts"]) == 1
    assert account.stack.violations() == []


def test_a_job_that_was_not_streamed_is_replayed_and_always_alike(account: Account) -> None:
    job = account.run(chat("unstreamed", n=2))
    one, other = read(account, job["id"]), read(account, job["id"])
    assert one == other
    check_whole(account, job["id"], one)
    without = account.live.get(f"/jobs/{job['id']}/stream", params={"include_usage": "false"}).text
    assert "usage" not in without and without.endswith("data: [DONE]\n\n")


def test_redis_flushed_in_mid_stream_loses_nothing(account: Account, stack: Stack, redis_server: Any) -> None:
    with stack.script(slowly("flushed", 2.0)), redis.Redis.from_url(redis_server.url) as store:
        id = account.submit(streamed("flushed"))["id"]
        found: list[Event] = []
        with account.live.stream("GET", f"/jobs/{id}/stream") as response:
            for event in events(response):
                found.append(event)
                if len(found) == 3:
                    for _ in range(3):  # entries of the middle are lost, those that follow are there
                        assert store.delete(streams.key(id))
                        await_condition(lambda: store.exists(streams.key(id)))
                    begun = list(found)
        check_whole(account, id, found)
        store.delete(streams.key(id))
        check_whole(account, id, [*begun, *read(account, id, begun[-1].id)])
        check_whole(account, id, read(account, id))


#: (the fault, what the first attempt's record says)
def check_relayed_is_paid(account: Account, job: dict[str, Any]) -> None:
    """A job cut short is charged for what had been sent of its answer, as far as that can be counted."""
    used = job["usage"]
    assert used["credits_used"] > 0 and used["estimated"] is True
    balance = account.live.get("/credits").json()
    assert round(balance["available"] + used["credits_used"], 6) == 10_000 and balance["held"] == 0


BROKEN = [
    ({"kind": "truncated_stream"}, "protocol"),
    ({"kind": "error_mid_stream", "status": 500}, "server_error"),
    ({"kind": "reset_mid_body"}, None),
    ({"kind": "malformed_json"}, "protocol"),
]


@pytest.mark.parametrize(("fault", "code"), BROKEN, ids=lambda value: value["kind"] if isinstance(value, dict) else "")
def test_what_breaks_after_the_first_token_ends_the_job(
    account: Account, stack: Stack, fault: dict[str, Any], code: str | None
) -> None:
    """All comes at once here, so a reader may have seen some of it, or hear of the end first."""
    with stack.script({"contains": "break it", "fault": fault}):
        id = account.submit(streamed("break it " + LONG))["id"]
        answer = account.live.get(f"/jobs/{id}/stream")
        job = account.finished(id)
    assert job["status"] == "failed" and job["error"]["type"] == "upstream_error" and len(job["attempts"]) == 1
    assert code is None or job["attempts"][0]["error"] == code
    found = list(events(answer)) if answer.status_code == 200 else [Event(None, answer.text)]
    error = found[-1].json["error"]
    assert error["type"] == "upstream_error" and error["code"] == 502 and "[DONE]" not in answer.text
    assert answer.status_code == 502 or id in error["message"]
    check_relayed_is_paid(account, job)
    again = account.live.get(f"/jobs/{id}/stream")
    assert again.status_code == 502 and again.json()["error"]["type"] == "upstream_error"
    assert again.headers["x-should-retry"] == "false" and again.headers["fusionai-job-id"] == id


@pytest.mark.parametrize(
    ("fault", "times"), [({"status": 503}, 2), ({"kind": "reset"}, 2), ({"kind": "empty_choices"}, 1)], ids=str
)
def test_what_breaks_before_the_first_token_is_tried_again_once_if_it_had_begun(
    account: Account, stack: Stack, fault: dict[str, Any], times: int
) -> None:
    with stack.script({"contains": "try again", "times": times, "fault": fault}):
        id = account.submit(streamed("try again"))["id"]
        found = read(account, id)
    check_whole(account, id, found)
    assert len(account.finished(id)["attempts"]) == times + 1


def test_a_fallback_takes_over_before_the_first_token(account: Account, stack: Stack) -> None:
    rule = {
        "contains": "fall back",
        "provider": "openai",
        "fault": {"kind": "error_in_200", "code": "insufficient_quota"},
    }
    with stack.script(rule):
        id = account.submit(streamed("fall back", routing={"fallbacks": ["claude-3-opus"]}))["id"]
        found = read(account, id)
    assert check_whole(account, id, found)["model"] == "claude-3-opus"


def test_usage_is_exact_or_estimated_and_said(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "uncounted", "fault": {"kind": "missing_usage"}}):
        id = account.submit(streamed("uncounted"))["id"]
        assert check_whole(account, id, read(account, id))["usage"]["credits_used"] > 0


def test_a_job_cancelled_in_mid_stream_says_so(account: Account, stack: Stack) -> None:
    with stack.script(slowly("cancel me", 20.0)):
        id = account.submit(streamed("cancel me"))["id"]
        found: list[Event] = []
        with account.live.stream("GET", f"/jobs/{id}/stream") as response:
            for event in events(response):
                found.append(event)
                if len(found) == 2:
                    account.test.post(f"/jobs/{id}/cancel")
                    assert account.live.post(f"/jobs/{id}/cancel").status_code == 200
    error = found[-1].json["error"]
    assert (error["type"], error["code"]) == ("conflict", 409) and "cancelled" in error["message"]
    assert (error["job_id"], error["request_id"]) == (id, response.headers["x-request-id"])
    check_relayed_is_paid(account, account.finished(id))


def test_a_job_that_fails_at_once_is_a_plain_error(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "bad request", "fault": {"status": 400, "message": "no such thing"}}):
        id = account.submit(streamed("bad request"))["id"]
        answer = account.live.get(f"/jobs/{id}/stream")
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request"
    assert answer.headers["x-should-retry"] == "false" and answer.headers["fusionai-job-id"] == id


def test_who_may_read_which_stream(account: Account, other: Account) -> None:
    id = account.run(streamed())["id"]
    assert other.live.get(f"/jobs/{id}/stream").status_code == 404
    assert account.test.get(f"/jobs/{id}/stream").status_code == 404, "live and test never cross"
    assert account.live.get("/jobs/job_none/stream").status_code == 404
    assert httpx.get(f"{account.stack.url}/v1/jobs/{id}/stream").status_code == 401
    for body in (embedding(), image()):
        answer = account.live.get(f"/jobs/{account.run(body)['id']}/stream")
        assert answer.status_code == 400 and "only chat" in answer.json()["error"]["message"]


@pytest.mark.parametrize("after", ["7", "1-", "0-1/", "1-1/0c=x", "1-99999999999999999/", "9-1/0c=3", "x" * 20_000])
def test_an_event_id_that_is_none_is_refused(account: Account, after: str) -> None:
    id = account.run(streamed())["id"]
    answer = account.live.get(f"/jobs/{id}/stream", headers={"last-event-id": f"{id[-8:]}-{after}"})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "Last-Event-ID"


def test_an_event_of_another_job_is_no_place_in_this_one(account: Account) -> None:
    """Taken for one, it would leave out the beginning of the answer without a word."""
    one, other = (account.run(streamed(words))["id"] for words in ("the one", "the other"))
    last = read(account, one)[-3].id
    assert last is not None
    for id, status in ((one, 200), (other, 400)):
        assert account.live.get(f"/jobs/{id}/stream", headers={"last-event-id": last}).status_code == status


@pytest.mark.parametrize("part", [0.5, 1.0], ids=["half of it", "all but the last event"])
def test_an_answer_that_was_read_is_paid_for_when_its_job_is_cancelled(
    account: Account, stack: Stack, part: float
) -> None:
    question = f"no free lunch {part}: {LONG}"
    with stack.script(slowly("no free lunch")):
        whole = account.run(chat(question))["result"]["choices"][0]["message"]["content"]
        text, cancelled = "", 0
        with account.live.stream("POST", "/chat/completions", json=_request(question)) as response:
            id = response.headers["fusionai-job-id"]
            for event in events(response):
                if event.data == "[DONE]" or "error" in event.json:
                    break
                for choice in event.json["choices"]:
                    text += choice["delta"].get("content") or ""
                    if (choice["finish_reason"] if part == 1 else len(text) > part * len(whole)) and not cancelled:
                        cancelled = account.live.post(f"/jobs/{id}/cancel").status_code
        job = account.finished(id)
    assert cancelled == 200 and job["usage"]["credits_used"] > 0
    assert job["status"] == ("succeeded" if part == 1 else "cancelled")
    stored = job["result"]["choices"][0]["message"]["content"]
    assert stored.startswith(text) and text and stack.violations() == []


def _request(content: str) -> dict[str, Any]:
    body = streamed(content)
    del body["type"]
    return body
