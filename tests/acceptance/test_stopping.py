"""What callers meet when a server process is told to stop: nothing is cut without a word, and all goes on elsewhere."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from unittest.mock import ANY

import httpx
import openai
import orjson
import pytest
from openai import OpenAI

from tests.acceptance.sse import Event, added_up, events
from tests.acceptance.stack import Account, Stack, chat, own_stack
from tests.conditions import await_condition

#: Of the stack here, in seconds; for a quarter of it the web process says that it stops, and still serves.
DRAIN = 5.0


@pytest.fixture(scope="module")
def stoppable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose processes are told to stop, and started again."""
    directory = tmp_path_factory.mktemp("stoppable")
    with own_stack(directory, DRAIN_SECONDS=str(DRAIN), STREAM_BEGIN_SECONDS="0.5") as running:
        yield running


@pytest.fixture
def account(stoppable: Stack) -> Iterator[Account]:
    """A customer of it."""
    made = stoppable.account()
    yield made
    made.close()


def body(content: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in chat(content, **more).items() if name != "type"}


def slow(contains: str, **fault: Any) -> dict[str, Any]:
    return {"contains": contains, "fault": fault}


class Callers:
    """Calls that are under way at the same time, each in a thread."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._pool = ThreadPoolExecutor(16)
        self.headers = {"authorization": f"Bearer {account.live_key}"}

    def begin(self, fn: Callable[..., Any], *args: Any, **more: Any) -> "Future[Any]":
        return self._pool.submit(fn, *args, **more)

    def stream(self, content: str) -> tuple["Future[list[Event]]", threading.Event]:
        """The events of a stream, and when it has begun to speak."""
        spoke = threading.Event()

        def read() -> list[Event]:
            found = []
            url = f"{self._account.stack.url}/v1/chat/completions"
            with httpx.stream(
                "POST", url, json=body(content, stream=True), headers=self.headers, timeout=30
            ) as response:
                assert response.status_code == 200
                for event in events(response):
                    found.append(event)
                    if len(found) == 2:
                        spoke.set()
            return found

        return self.begin(read), spoke

    def upload(self, seconds: float) -> "Future[httpx.Response]":
        """A file that comes slowly, and has begun to."""
        begun = threading.Event()

        def pieces() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n'
            begun.set()
            yield b'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                yield b"{}\n"
                time.sleep(0.1)
            yield b"\r\n--b--\r\n"

        headers = {**self.headers, "content-type": "multipart/form-data; boundary=b"}
        url = f"{self._account.stack.url}/v1/files"
        sent: Future[httpx.Response] = self.begin(httpx.post, url, content=pieces(), headers=headers, timeout=30)
        assert begun.wait(20)
        return sent


def job_id(account: Account, content: str) -> str:
    """The one running job that was asked for in these words."""

    def found() -> str | None:
        for job in account.live.get("/jobs", params={"status": "running"}).json()["data"]:
            if job["metadata"].get("name") == content:
                return str(job["id"])
        return None

    return await_condition(found, what="the job")


def check_log(stack: Stack) -> None:
    log = stack.log.read_text()
    assert "Traceback" not in log and "CancelledError" not in log, log[-3000:]


def test_a_web_process_that_stops_lets_go_of_nothing(stoppable: Stack, account: Account) -> None:
    callers = Callers(account)
    rules = (
        slow("soon done", kind="slow_body", seconds=2.5),
        slow("the long stream", kind="slow_body", seconds=12),
        slow("the silent stream", latency_seconds=10),
        slow("the call", latency_seconds=10),
        slow("the poll", latency_seconds=10),
    )
    with stoppable.script(*rules):
        polled = account.submit(chat("the poll"))["id"]
        long, spoke = callers.stream("the long stream")
        assert spoke.wait(20)
        short, spoke = callers.stream("soon done")
        assert spoke.wait(20)
        silent, _ = callers.stream("the silent stream")
        named = body("the call", metadata={"name": "the call"})
        url = f"{stoppable.url}/v1"
        call = callers.begin(httpx.post, f"{url}/chat/completions", json=named, headers=callers.headers, timeout=30)
        poll = callers.begin(
            httpx.get, f"{url}/jobs/{polled}", params={"wait": 20}, headers=callers.headers, timeout=30
        )
        quick, endless = callers.upload(2.0), callers.upload(15.0)
        waiting = job_id(account, "the call")
        began = time.monotonic()
        process = stoppable.terminate("producer.app")
        check_notice(stoppable, account)

        assert short.result(20)[-1].data == "[DONE]" and time.monotonic() - began < DRAIN
        accepted = quick.result(20)
        assert accepted.status_code == 200 and time.monotonic() - began < DRAIN
        late = call.result(20)
        assert time.monotonic() - began >= DRAIN - 0.1, "it is given the drain to finish"
        assert late.status_code == 504 and late.headers["x-should-retry"] == "false"
        assert late.headers["fusionai-job-id"] == waiting
        message = late.json()["error"]["message"]
        assert "the server is shutting down" in message and waiting in message
        assert poll.result(20).json()["status"] == "running" and poll.result().json()["id"] == polled
        said = check_stopped(long.result(20)[-1])
        check_stopped(silent.result(20)[-1])
        cut = endless.result(20)
        assert cut.status_code == 503 and cut.headers["retry-after"] and "x-should-retry" not in cut.headers

        assert process.wait(5) == 0, "a good end"
        stoppable.start_again("producer.app")
        headers = {"last-event-id": said["last_event_id"]}
        with account.live.stream("GET", f"/jobs/{said['job_id']}/stream", headers=headers) as response:
            rest = list(events(response))
        job = account.finished(said["job_id"])
    whole = [event.json for event in (*long.result()[:-1], *rest[:-2])]
    assert rest[-1].data == "[DONE]" and added_up(whole) == job["result"]["choices"] and len(job["attempts"]) == 1
    for id in (waiting, polled):
        assert account.finished(id)["status"] == "succeeded"

    def charges() -> int:
        rows = account.live.get("/credits/transfers").json()["data"]
        return [row["kind"] for row in rows].count("charge")

    await_condition(lambda: charges() == 5, what="the charge of each of the five, the silent stream's too")
    assert stoppable.violations() == []
    check_log(stoppable)


def check_notice(stack: Stack, account: Account) -> None:
    """First it says that it is not ready, and serves; then it takes no connection."""

    unready = await_condition(lambda: (found := knock(stack, "/readyz")) and found[0] == 503 and found, seconds=2)
    assert unready and orjson.loads(unready[1]) == {"status": "stopping"}
    assert knock(stack, "/v1/models", account.live_key) == (200, ANY)
    await_condition(lambda: knock(stack, "/readyz") is None, seconds=DRAIN / 2, what="no more connections")


def knock(stack: Stack, path: str, key: str = "") -> tuple[int, bytes] | None:
    """What a new connection gets; None: there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=5)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return None
    finally:
        connection.close()


def check_stopped(event: Event) -> dict[str, Any]:
    """The last event of a stream whose server stops."""
    said = dict(event.json["error"])
    assert (said["type"], said["code"]) == ("unavailable", 503) and "the server is shutting down" in said["message"]
    assert said["job_id"] in said["message"] and f"/v1/jobs/{said['job_id']}/stream" in said["message"]
    return said


def test_the_official_sdk_is_told(stoppable: Stack, account: Account) -> None:
    with stoppable.script(slow("by the SDK", kind="slow_body", seconds=8)):
        client = OpenAI(base_url=stoppable.url + "/v1", api_key=account.live_key)
        stream = client.chat.completions.create(**body("by the SDK", stream=True))
        next(stream)
        stoppable.terminate("producer.app")
        with pytest.raises(openai.APIError, match="the server is shutting down"):
            list(stream)
        stoppable.start_again("producer.app")
    (job,) = account.live.get("/jobs").json()["data"]
    assert account.finished(job["id"])["status"] == "succeeded"
    check_log(stoppable)


def test_a_worker_that_stops_says_that_it_begins_anew(stoppable: Stack, account: Account) -> None:
    """Its reader has words of an answer that nobody will end; the next worker asks again."""
    rule = {**slow("handed back", kind="slow_body", seconds=20), "times": 1}
    with stoppable.script(rule):
        id = account.submit(chat("handed back", stream=True))["id"]
        found: list[Event] = []
        with account.live.stream("GET", f"/jobs/{id}/stream") as response:
            for event in events(response):
                found.append(event)
                if len(found) == 2:
                    stoppable.terminate("workers.app")
        said = found[-1].json["error"]
        assert (said["code"], said["job_id"]) == (409, id) and "last_event_id" not in said
        assert f"without Last-Event-ID, at GET /v1/jobs/{id}/stream" in said["message"]
        stoppable.start_again("workers.app")
        again = account.live.get(f"/jobs/{id}/stream", headers={"last-event-id": str(found[1].id)})
        assert again.status_code == 409 and "without Last-Event-ID" in again.json()["error"]["message"]
        with account.live.stream("GET", f"/jobs/{id}/stream") as response:
            anew = list(events(response))
    job = account.finished(id)
    assert anew[-1].data == "[DONE]" and added_up(event.json for event in anew[:-2]) == job["result"]["choices"]
    assert [attempt["error"] for attempt in job["attempts"]] == ["interrupted", None]
    assert stoppable.violations() == []
