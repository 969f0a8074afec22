"""The Python client of this API: typed calls over httpx that never buy the same work twice.

Every POST carries an Idempotency-Key that its retries keep, so a lost answer is asked for again, not the work.

>>> with FusionAI("http://127.0.0.1:8000/v1", "fusionai_live_…") as fusion:      # doctest: +SKIP
...     job = fusion.submit({"type": "embedding", "model": "text-embedding-3-large", "input": "hello"})
...     print(fusion.job(job["id"], wait=30)["status"])
"""

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, NotRequired, Self, TypedDict

import httpx

from shared import clock

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
TERMINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled", "expired"})

#: Answers that say "not now": nothing was accepted, or (409 with Retry-After) the first request is still under way.
_TRY_AGAIN = frozenset({429, 502, 503})
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 60.0
#: The server's own waiting ends at 28 s.
_WAIT_MARGIN_SECONDS = 15.0

Json = dict[str, Any]


class Attempt(TypedDict):
    provider: str
    model: str
    started_at: float
    finished_at: float | None
    status_code: int | None
    error: Json | None


class Job(TypedDict):
    """A job as the API shows it."""

    id: str
    object: Literal["job"]
    type: str
    status: JobStatus
    model: str
    served_by: Json | None
    batch_id: str | None
    attempts: list[Attempt]
    created_at: int
    started_at: int | None
    finished_at: int | None
    metadata: dict[str, str]
    result: NotRequired[Json | None]
    error: NotRequired[Json | None]
    usage: NotRequired[Json | None]


class Page(TypedDict):
    """A page of a list; `after=last_id` asks for the next one while `has_more`."""

    object: Literal["list"]
    data: list[Json]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ApiError(Exception):
    """The API refused or failed: its status, error type, message, the parameter it is about, and the request's id."""

    def __init__(self, status: int, type: str, message: str, param: str | None, request_id: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.param = param
        self.request_id = request_id


class FusionAI:
    """One account's view of the API at `base_url` (with or without /v1)."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 30.0,
        retries: int = 6,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        #: live or test, as the key says; nothing is ever charged to a test key.
        self.mode = "test" if api_key.startswith("fusionai_test_") else "live"
        self._timeout = timeout
        self._retries = retries
        self._pause = pause or threading.Event().wait
        self._http = httpx.Client(
            base_url=base_url.rstrip("/"),
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(self, job: Mapping[str, Any], idempotency_key: str | None = None) -> Job:
        """Accept one job: `{"type", "model", …request, "metadata"}`."""
        answer: Job = self.post("/jobs", job, idempotency_key=idempotency_key)
        return answer

    def submit_many(self, jobs: Sequence[Mapping[str, Any]], idempotency_key: str | None = None) -> list[Job]:
        """Accept up to 1,000 jobs, all or none; they come back in the same order."""
        answer = self.post("/jobs", {"jobs": list(jobs)}, idempotency_key=idempotency_key)
        accepted: list[Job] = answer["data"]
        return accepted

    def job(self, id: str, wait: float | None = None) -> Job:
        """The job now, or, with `wait`, as soon as it has ended or so many seconds have passed."""
        if wait is None:
            found: Job = self.get(f"/jobs/{id}")
        else:
            found = self.get(f"/jobs/{id}", timeout=wait + _WAIT_MARGIN_SECONDS, wait=f"{wait:g}")
        return found

    def jobs(self, *, limit: int = 20, after: str | None = None, **filters: str | None) -> Page:
        """A page of the jobs, the newest first; filters such as status="failed"."""
        return self._page("/jobs", limit=limit, after=after, **filters)

    def jobs_by_id(self, ids: Sequence[str]) -> list[Job]:
        """Up to 100 jobs at once; the unknown ones are missing."""
        found: list[Job] = self.get("/jobs", ids=",".join(ids), limit=100)["data"]
        return found

    def every_job(self, **filters: str | None) -> Iterator[Json]:
        """All jobs, page by page."""
        return self._every("/jobs", **filters)

    def cancel(self, id: str) -> Job:
        """Ask that a job end; a job that has already ended stays as it is."""
        answer: Job = self.post(f"/jobs/{id}/cancel", {})
        return answer

    def events(self, *, after: str | None = None, limit: int = 100) -> Page:
        """A page of the account's events, the oldest first."""
        return self._page("/events", limit=limit, after=after)

    def every_event(self, *, after: str | None = None) -> Iterator[Json]:
        """All events from `after` on, page by page."""
        return self._every("/events", after=after)

    def credits(self) -> Json:
        """What is available and what is held."""
        balance: Json = self.get("/credits")
        return balance

    def transfers(self, *, limit: int = 20, after: str | None = None) -> Page:
        """A page of the movements of credits."""
        return self._page("/credits/transfers", limit=limit, after=after)

    def set_thresholds(self, thresholds: Sequence[Mapping[str, Any]]) -> Json:
        """Replace the levels of credit at which an event is sent: `{"kind": "remaining"|"spent", "credits": n}`."""
        answer: Json = self._send("PUT", "/credits/thresholds", json={"thresholds": list(thresholds)})
        return answer

    def create_webhook(self, url: str, events: Sequence[str] = ()) -> Json:
        """Have events sent to `url`; the answer has the signing secret. No events: all of them."""
        made: Json = self.post("/webhooks", {"url": url, "events": list(events)} if events else {"url": url})
        return made

    def webhooks(self, *, limit: int = 20, after: str | None = None) -> Page:
        return self._page("/webhooks", limit=limit, after=after)

    def delete_webhook(self, id: str) -> Json:
        gone: Json = self._send("DELETE", f"/webhooks/{id}")
        return gone

    def models(self) -> Page:
        """What the key can use."""
        return self._page("/models")

    def get(self, path: str, *, timeout: float | None = None, **query: object) -> Any:
        """GET a path of the API; a query value of None is left out."""
        params = {name: str(value) for name, value in query.items() if value is not None}
        return self._send("GET", path, params=params, timeout=timeout or self._timeout)

    def post(self, path: str, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> Any:
        """POST to a path of the API, once however often it has to be tried."""
        key = idempotency_key or clock.new_id("idem")
        return self._send("POST", path, json=dict(body), headers={"Idempotency-Key": key})

    def _page(self, path: str, **query: object) -> Page:
        params = {name: str(value) for name, value in query.items() if value is not None}
        page: Page = self._send("GET", path, params=params)
        return page

    def _every(self, path: str, *, after: str | None = None, **query: object) -> Iterator[Json]:
        while True:
            page = self._page(path, limit=100, after=after, **query)
            yield from page["data"]
            after = page["last_id"]
            if not page["has_more"] or after is None:
                return

    def _send(self, method: str, path: str, **request: Any) -> Any:
        """Send, and again after a lost connection or a "not now", the same request with the same key."""
        for tried in range(self._retries + 1):
            last = tried == self._retries
            try:
                response = self._http.request(method, path, **request)
            except httpx.TransportError:
                if last:
                    raise
                self._pause(_pause_seconds(tried, None))
                continue
            if last or not _asks_to_try_again(response):
                return _body(response)
            self._pause(_pause_seconds(tried, response.headers.get("Retry-After")))
        raise AssertionError("unreachable")


def _asks_to_try_again(response: httpx.Response) -> bool:
    if response.headers.get("x-should-retry") == "false":
        return False
    under_way = response.status_code == 409 and "Retry-After" in response.headers
    return under_way or response.status_code in _TRY_AGAIN


def _pause_seconds(tried: int, retry_after: str | None) -> float:
    """The server's own Retry-After when it is longer than our doubling, jittered pause; a minute at most."""
    pause: float = _FIRST_PAUSE_SECONDS * (1 << tried) * random.uniform(0.5, 1.0)
    try:
        asked = float(retry_after or 0)
    except ValueError:  # a date: rare, and our own pause will do
        asked = 0.0
    return min(max(pause, asked), _LONGEST_PAUSE_SECONDS)


def _body(response: httpx.Response) -> Json:
    try:
        body = response.json() if response.content else {}
    except json.JSONDecodeError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    error = body.get("error") if isinstance(body, dict) else None
    raise _error(response, error if isinstance(error, dict) else {})


def _error(response: httpx.Response, error: Json) -> ApiError:
    message = error.get("message") or f"the server answered {response.status_code} without saying why"
    request_id = error.get("request_id") or response.headers.get("X-Request-Id")
    return ApiError(response.status_code, error.get("type", "unknown"), message, error.get("param"), request_id)
