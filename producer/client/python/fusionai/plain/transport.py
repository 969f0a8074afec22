"""How the client calls the API: one idempotency key for all tries of a POST, pauses between them, errors."""

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

import httpx

from fusionai.plain import outgoing
from fusionai.plain.asked import Json, Page
from shared import clock
from shared.submissions.sizes import MOST_PAGE

T = TypeVar("T")

#: The error type of an answer that is not this API's.
UNEXPECTED = "unexpected_answer"

#: Answers that say "not now": nothing was accepted, or (409 with Retry-After) the first request is still under way.
_TRY_AGAIN = frozenset({429, 502, 503})
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 60.0


class ApiError(Exception):
    """The API refused or failed: its status, error type, message, the parameter it is about, and the request's id.

    `try_again`: the same request may succeed later; `retry_after` is the server's own pause, in seconds.
    """

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        param: str | None,
        request_id: str | None,
        *,
        try_again: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.param = param
        self.request_id = request_id
        self.try_again = try_again
        self.retry_after = retry_after


class Transport:
    """One account's connection to the API at `base_url` (with or without /v1)."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 30.0,
        retries: int = 6,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], object] | None = None,
        first_seconds: float | None = None,
        on_unreachable: Callable[[], object] = lambda: None,
        strict: bool = False,
    ) -> None:
        """`first_seconds`: until it has been reached once, a server that cannot be connected to is tried no longer.

        `on_unreachable` is called, once, that it cannot be and is tried again. None: as patiently as later.
        `strict`: accept no answer that is not an object of this API.
        """
        #: live or test, as the key says; nothing is ever charged to a test key.
        self.mode = "test" if api_key.startswith("fusionai_test_") else "live"
        self._timeout = timeout
        self._retries = retries
        self._pause = pause or threading.Event().wait
        self._first_seconds = first_seconds
        self._on_unreachable = on_unreachable
        self._strict = strict
        self._reached = self._reported = False
        self._http = httpx.Client(
            base_url=base_url.rstrip("/"),
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout,
            transport=transport or outgoing.transport(base_url),
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, *, timeout: float | None = None, **query: object) -> Any:
        """GET a path of the API; a query value of None is left out."""
        return self._send("GET", path, params=_known(query), timeout=timeout or self._timeout)

    def post(
        self, path: str, body: Mapping[str, Any], *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> Any:
        """POST to a path of the API, once however often it has to be tried."""
        return self.post_or_replay(path, body, idempotency_key, timeout)[0]

    def post_or_replay(
        self, path: str, body: Mapping[str, Any], idempotency_key: str | None = None, timeout: float | None = None
    ) -> tuple[Any, bool]:
        """POST; the answer, and whether it is the one that an earlier request with the same key was given."""
        headers = {"Idempotency-Key": idempotency_key or clock.new_id("idem")}
        request = {"json": dict(body), "headers": headers, "timeout": timeout or self._timeout}
        response = self._insist(lambda: self._once("POST", path, **request))
        return _body(response), response.headers.get("Idempotent-Replayed") == "true"

    def _page(self, path: str, **query: object) -> Page:
        page: Page = self._send("GET", path, params=_known(query))
        return page

    def _every(self, path: str, *, after: str | None = None, **query: object) -> Iterator[Json]:
        while True:
            page = self._page(path, limit=MOST_PAGE, after=after, **query)
            yield from page["data"]
            after = page.get("last_id") or (page["data"][-1]["id"] if page["data"] else None)
            if not page["has_more"] or after is None:
                return

    def _send(self, method: str, path: str, **request: Any) -> Any:
        """What the API answers, asked as often as is sensible; ApiError when it refuses."""
        return _body(self._insist(lambda: self._once(method, path, **request)))

    def _once(self, method: str, path: str, **request: Any) -> httpx.Response:
        """A single request; a response that is a success."""
        if not self._reached and self._first_seconds is not None:
            seconds = request.get("timeout", self._timeout)
            request["timeout"] = httpx.Timeout(seconds, connect=min(seconds, self._first_seconds))
        response = self._http.request(method, path, **request)
        self._reached = True
        if not response.is_success:
            raise _error(response)
        body = _body(response)
        if not isinstance(body, dict) or (self._strict and not _is_ours(body)):
            raise _unexpected(response)
        return response

    def _fetch(self, path: str, target: BinaryIO, received: Callable[[int], object] = lambda received: None) -> int:
        """Stream the body of a GET into an empty file, from its beginning again when the connection is lost."""

        def once() -> int:
            target.seek(0)
            target.truncate()
            with self._http.stream("GET", path) as response:
                self._reached = True
                if not response.is_success:
                    response.read()
                    raise _error(response)
                for chunk in response.iter_bytes():
                    target.write(chunk)
                    received(target.tell())
            return target.tell()

        return self._insist(once)

    def _insist(self, once: Callable[[], T]) -> T:
        """Do it, and again after a lost connection or a "not now"; the last failure is raised."""
        began, tried = clock.monotonic(), 0
        while True:
            try:
                return once()
            except (httpx.TransportError, ApiError) as error:
                if not is_passing(error):
                    raise
                if self._never_answered(error):
                    self._await_server(error, began)
                    continue
                if tried == self._retries:
                    raise
                self._pause(_pause_seconds(tried, retry_after(error)))
                tried += 1

    @property
    def reached(self) -> bool:
        """Whether anything has answered yet."""
        return self._reached

    def _is_patient(self) -> bool:
        return self._reached or self._first_seconds is None

    def _never_answered(self, error: httpx.TransportError | ApiError) -> bool:
        return not self._is_patient() and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)

    def _await_server(self, error: httpx.TransportError | ApiError, began: float) -> None:
        """Pause before the next try to reach a server for the first time, or give it up."""
        if clock.monotonic() + _FIRST_PAUSE_SECONDS - began >= (self._first_seconds or 0):
            raise error
        if not self._reported:
            self._reported = True
            self._on_unreachable()
        self._pause(_FIRST_PAUSE_SECONDS)


def is_passing(error: httpx.TransportError | ApiError) -> bool:
    """Whether the same request may succeed later: the connection was lost, or the server said "not now"."""
    return not isinstance(error, ApiError) or error.try_again


def retry_after(error: httpx.TransportError | ApiError) -> float:
    """The pause that the server asked for, in seconds; 0 when it asked for none."""
    return error.retry_after if isinstance(error, ApiError) else 0.0


def _known(query: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}


def _pause_seconds(tried: int, asked: float) -> float:
    """The server's own Retry-After when it is longer than our doubling, jittered pause; a minute at most."""
    pause: float = _FIRST_PAUSE_SECONDS * (1 << tried) * random.uniform(0.5, 1.0)
    return min(max(pause, asked), _LONGEST_PAUSE_SECONDS)


def _body(response: httpx.Response) -> Any:
    """The JSON of a response, {} when it is empty, None when it is something else."""
    try:
        return response.json() if response.content else {}
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None


def _error(response: httpx.Response) -> ApiError:
    body = _body(response)
    found = body.get("error") if isinstance(body, dict) else None
    error: Json = found if isinstance(found, dict) else {}
    message = error.get("message") or f"the server answered {response.status_code} without a message"
    return ApiError(
        response.status_code,
        error.get("type", "unknown"),
        message,
        error.get("param"),
        error.get("request_id") or response.headers.get("X-Request-Id"),
        try_again=_asks_to_try_again(response),
        retry_after=_retry_after(response),
    )


def _is_ours(body: Json) -> bool:
    """Whether it can be this API's: every object of it says of which kind it is, and a list has its rows."""
    is_list = isinstance(body.get("data"), list) and "has_more" in body
    return "object" in body and (body["object"] != "list" or is_list)


def unexpected(address: object) -> str:
    """The message about a server whose answers are not this API's."""
    return f"{address} does not answer like the FusionAI API"


def _unexpected(response: httpx.Response) -> ApiError:
    place = str(response.url.join("/")).rstrip("/")
    return ApiError(response.status_code, UNEXPECTED, unexpected(place), None, response.headers.get("X-Request-Id"))


def _asks_to_try_again(response: httpx.Response) -> bool:
    if response.headers.get("x-should-retry") == "false":
        return False
    under_way = response.status_code == 409 and "Retry-After" in response.headers
    return under_way or response.status_code in _TRY_AGAIN


def _retry_after(response: httpx.Response) -> float:
    try:
        return min(max(0.0, float(response.headers.get("Retry-After") or 0)), _LONGEST_PAUSE_SECONDS)
    except ValueError:  # a date: rare, and our own pause will do
        return 0.0
