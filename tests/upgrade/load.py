"""Callers that go on and on while processes are replaced: what customers and operators do, each kind in a thread.

What may come of a request is what a client can go on from by itself (`outcome`); anything else is a failure, and so is
a connection that ends without an answer.
"""

import re
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import orjson

from fusionai import FusionAI
from fusionai.errors import APIStatusError, StreamError
from shared import clock
from shared.money import purchases
from tests.acceptance.sse import events
from tests.harness import Account, chat, line
from tests.upgrade.stack import Upgrade

#: Between two requests of a caller, in seconds: two cores have to bear all of them.
PAUSE_SECONDS = 0.25
#: The longest that a client may be told to wait before it asks again, in seconds.
AGAIN_MOST_SECONDS = 10
#: Purchases that are open at once: more are refused.
OPEN_MOST = 5
#: Between two purchases, in seconds: more than `invoices.BOUGHT_PER_MINUTE` of both versions are refused for a while.
BUY_SECONDS = 1.2
#: What customers look at.
PAGES = ("", "/jobs", "/batches", "/credits", "/usage", "/events", "/webhooks", "/keys", "/models", "/credits/invoices")
LISTS = ("jobs", "batches", "events", "credits", "credits/transfers", "usage", "invoices", "webhooks", "models")


def outcome(answer: httpx.Response | APIStatusError) -> str:
    """`done`; `again`: nothing was begun, and when to come again is said; `goes on`: the job that does is named.

    Any other answer is none that a client can go on from: AssertionError.
    """
    headers = answer.headers if isinstance(answer, httpx.Response) else answer.response.headers
    if answer.status_code < 400:
        return "done"
    said = f"{answer.status_code} {dict(headers)} {getattr(answer, 'text', answer)}"
    if headers.get("x-should-retry") == "false":
        assert answer.status_code in (503, 504) and headers["fusionai-job-id"] in said, said
        return "goes on"
    assert answer.status_code in (429, 503) and int(headers["retry-after"]) <= AGAIN_MOST_SECONDS, said
    return "again"


class Load:
    """The callers, at one address, of one account; `outcomes` counts by kind of caller."""

    def __init__(self, stack: Upgrade, url: str, account: Account) -> None:
        self._stack, self.url, self._account = stack, url, account
        self._headers = {"Authorization": f"Bearer {account.live_key}"}
        self._http = httpx.Client(timeout=60, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
        self._sdk = FusionAI(base_url=f"{url}/v1", api_key=account.live_key)
        self._over = threading.Event()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.failures: list[str] = []
        self._csrf = ""
        self._unpaid: list[str] = []
        self._quick: Sequence[Callable[[int], None]] = (
            *(self.wait, self.stream, self.submit, self.listed, self.buy, self.read),
            *(self.console, self.by_sdk, self.stream_by_sdk),
        )
        kinds = (*self._quick, self.stream_long_by_sdk)
        self._threads = [threading.Thread(target=self._go_on, args=(kind,), name=kind.__name__) for kind in kinds]

    def __enter__(self) -> "Load":
        self._console = httpx.Client(base_url=self.url, headers={"origin": self.url}, timeout=60, trust_env=False)
        self._signed_in()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for client in (self._http, self._console, self._sdk):
            client.close()

    def stop(self) -> None:
        """Begin no more calls, and let those under way end."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def goes_on(self) -> None:
        """Until each kind of caller has had one more good answer, but for those whose answers take long."""
        before = self._done()
        self._stack.until(
            lambda: self.failures or all(self._done()[name] > count for name, count in before.items()),
            seconds=120,
            what="an answer for every caller",
        )
        assert self.failures == []

    def _done(self) -> dict[str, int]:
        return {kind.__name__: self.outcomes[kind.__name__, "done"] for kind in self._quick}

    def _go_on(self, kind: Callable[[int], None]) -> None:
        number = 0
        while not self._over.wait(PAUSE_SECONDS):
            number += 1
            try:
                kind(number)
            except Exception:
                self.failures.append(f"{kind.__name__}, {self._stack.versions}: {traceback.format_exc(limit=-4)}")

    def _send(self, kind: str, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """The answer to a request that is sent again, under one Idempotency-Key, while that is what is asked for."""
        headers = self._headers | {"Idempotency-Key": clock.new_id("idem")}
        while True:
            answer = self._http.request(method, self.url + path, json=body, headers=headers, **more)
            came = outcome(answer)
            self.outcomes[kind, came] += 1
            if came != "again":
                return answer
            self._over.wait(0.2)

    def took(self, answer: httpx.Response) -> str:
        """The id of the job that was accepted."""
        id = answer.headers["fusionai-job-id"]
        self._stack.accepted.append(id)
        return id

    # -- the kinds of callers -----------------------------------------------------------------------------------

    def wait(self, number: int) -> None:
        """A synchronous call."""
        self.took(self._send("wait", "POST", "/v1/chat/completions", _call(f"slowly, waiting {number}")))

    def stream_long_by_sdk(self, number: int) -> None:
        """A stream that takes longer than a process has to stop, read on by our SDK."""
        self.stream_by_sdk(number, "at length", "stream_long_by_sdk")

    def stream(self, number: int) -> None:
        """A synchronous call that is streamed: to its end, or to a word that names the job, which goes on."""
        headers = self._headers | {"Idempotency-Key": clock.new_id("idem")}
        body = _call(f"slowly, streamed {number}", stream=True)
        while True:
            with self._http.stream("POST", self.url + "/v1/chat/completions", json=body, headers=headers) as response:
                if response.status_code != 200:
                    response.read()
                    came = outcome(response)
                    self.outcomes["stream", came] += 1
                    if came == "again":
                        self._over.wait(0.2)
                        continue
                id, last = self.took(response), None
                if response.status_code == 200:
                    last = [event.data for event in events(response)][-1]
            break
        if last == "[DONE]":
            self.outcomes["stream", "done"] += 1
        else:
            if last is not None:
                assert orjson.loads(last)["error"]["job_id"] == id, last
                self.outcomes["stream", "goes on"] += 1
            self.finished(id)

    def finished(self, id: str) -> dict[str, Any]:
        """A job when it has ended, and well."""
        while (found := dict(self._send("poll", "GET", f"/v1/jobs/{id}?wait=10").json()))["finished_at"] is None:
            pass
        assert found["status"] == "succeeded", found
        return found

    def submit(self, number: int) -> None:
        """A job; each third of them is cancelled at once."""
        id = self._send("submit", "POST", "/v1/jobs", chat(f"slowly, alone {number}")).json()["id"]
        self._stack.accepted.append(id)
        if number % 3 == 0:
            self._send("cancel", "POST", f"/v1/jobs/{id}/cancel")

    def listed(self, number: int) -> None:
        """Ten jobs at once."""
        jobs = [chat(f"quickly, in a list {number} {n}") for n in range(10)]
        made = self._send("listed", "POST", "/v1/jobs", {"jobs": jobs}).json()["data"]
        self._stack.accepted += [job["id"] for job in made]
        self._over.wait(0.5)

    def buy(self, number: int) -> None:
        """Credits are bought, and the operator marks the invoices paid, by this version once the schema is its own."""
        if len(self._unpaid) < OPEN_MOST:
            self._unpaid.append(self._send("buy", "POST", "/v1/invoices", {"credits": 1}).json()["id"])
        else:
            self.outcomes["buy", "done"] += 1
        while self._stack.migrated and self._unpaid:
            self._stack.database.write_sync(purchases.pay, self._unpaid.pop(), note="paid")
        self._over.wait(BUY_SECONDS)

    def read(self, number: int) -> None:
        """One list after the other."""
        self._send("read", "GET", f"/v1/{LISTS[number % len(LISTS)]}")

    def console(self, number: int) -> None:
        """One page after the other; now and then a job is cancelled on its page."""
        if number % 5:
            self._page(PAGES[number % len(PAGES)])
            return
        id = self._send("submit", "POST", "/v1/jobs", chat(f"slowly, for the console {number}")).json()["id"]
        self._stack.accepted.append(id)
        self._page(f"/jobs/{id}")
        pressed = self._pressed(f"/jobs/{id}/cancel")
        assert pressed.headers["location"].startswith(f"/console/jobs/{id}"), pressed.headers

    def by_sdk(self, number: int) -> None:
        """Our SDK with its own retries, over connections that it keeps: nothing reaches its caller but a named job."""
        create = self._sdk.chat.completions.with_raw_response.create
        body = _call(f"slowly, by the SDK {number}")
        try:
            answer = create(**body, extra_headers={"Idempotency-Key": clock.new_id("idem")})
        except APIStatusError as refused:
            assert outcome(refused) == "goes on"
            self.outcomes["by_sdk", "goes on"] += 1
            self._stack.accepted.append(refused.response.headers["fusionai-job-id"])
            return
        self._stack.accepted.append(answer.headers["fusionai-job-id"])
        assert answer.parse().choices[0].message.content
        self.outcomes["by_sdk", "done"] += 1

    def stream_by_sdk(self, number: int, how: str = "slowly", kind: str = "stream_by_sdk") -> None:
        """Our SDK reads a job's stream on by itself, at whichever web process: no word is lost or comes twice."""
        job = self._sdk.jobs.create(**chat(f"{how}, streamed by the SDK {number}", stream=True))
        self._stack.accepted.append(job.id)
        try:
            chunks = [chunk.choices[0].delta.content or "" for chunk in self._sdk.jobs.stream(job.id) if chunk.choices]
        except StreamError as begun_anew:  # by another worker, in other words perhaps: that it is read anew is said
            assert begun_anew.job_id == job.id and begun_anew.last_event_id is None, begun_anew
            self.outcomes[kind, "goes on"] += 1
            chunks = None
        done = self._sdk.jobs.wait(job.id)
        assert done.status == "succeeded" and done.result, done
        if chunks is not None:
            assert "".join(chunks) == done.result.choices[0].message.content
            self.outcomes[kind, "done"] += 1

    # -- the console, and batches ---------------------------------------------------------------------------------

    def _signed_in(self) -> None:
        answer = self._console.post("/console/sign-in", data={"key": self._account.live_key})
        assert answer.status_code == 303, answer.text

    def _page(self, path: str) -> None:
        while True:
            answer = self._console.get(f"/console{path}")
            came = outcome(answer)
            self.outcomes["console", came] += 1
            if came != "again":
                break
        assert answer.status_code == 200, (path, answer.status_code, answer.headers.get("location"))
        found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
        self._csrf = found[1] if found else self._csrf

    def _pressed(self, path: str) -> httpx.Response:
        while True:
            answer = self._console.post(f"/console{path}", data={"csrf": self._csrf})
            if (came := outcome(answer)) != "again":
                assert (came, answer.status_code) == ("done", 303), answer.text
                return answer

    def batch(self, name: str, count: int, *, upload: bool = False, **spec: Any) -> str:
        """Have a batch accepted; its id."""
        lines = [line(f"{name}-{n:04}", f"of the batch {name} {n}") for n in range(count)]
        given: Mapping[str, Any] = {"requests": lines}
        if upload:
            form = {"file": ("lines.jsonl", b"".join(orjson.dumps(one) + b"\n" for one in lines))}
            file = self._send("upload", "POST", "/v1/files", files=form, data={"purpose": "batch"})
            given = {"input_file_id": file.json()["id"]}
        id = str(self._send("batch", "POST", "/v1/batches", {**given, **spec}).json()["id"])
        self._stack.submitted[id] = [one["custom_id"] for one in lines]
        return id

    def asked(self, url: str, path: str) -> httpx.Response:
        """What one web process, at `url`, answers there."""
        return self._http.get(f"{url}/v1/{path}", headers=self._headers)

    def cancel_batch(self, id: str) -> None:
        """Stop it where it is."""
        self._send("cancel batch", "POST", f"/v1/batches/{id}/cancel")


def _call(content: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in chat(content, **more).items() if name != "type"}
