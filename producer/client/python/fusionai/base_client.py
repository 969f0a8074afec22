"""What `FusionAI` and `AsyncFusionAI` both do in their own way: headers, keys, retries, errors, the class of streams.

OpenAI's clients do it privately; that it is changed here is held by the table of behaviours (`tests/sdk`).
"""

import os
import secrets
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import httpx2
from openai._base_client import BaseClient
from openai._types import NotGiven

from fusionai import manners
from fusionai.errors import APIStatusError, asked_pause, status_error
from fusionai.sse import EventDecoder
from fusionai.streaming import checked

Timeout = float | httpx2.Timeout | None
_KEY = "Idempotency-Key"


class BaseFusionAI(BaseClient[Any, Any]):
    """What both clients do in their own way."""

    stream_timeout: Timeout
    #: Set by OpenAI's clients; an OpenAI account has nothing to do with ours.
    organization: str | None
    project: str | None
    admin_api_key: str | None

    #: Whether its connections are of its own making, and of which process they are.
    _makes_http: bool
    _pid: int

    def _settle(self, stream_timeout: Timeout, http_client: Any, headers: Mapping[str, str] | None) -> None:
        self.stream_timeout = stream_timeout
        self._custom_headers = dict(headers or {})  # without those of OPENAI_CUSTOM_HEADERS
        self._makes_http, self._pid = http_client is None, os.getpid()
        self._idempotency_header = _KEY
        self.organization = self.project = self.admin_api_key = None

    @property
    def user_agent(self) -> str:
        return f"{type(self).__name__}/Python {_version()}"

    def _idempotency_key(self) -> str:
        return f"idem_{secrets.token_hex(16)}"

    def _build_headers(self, options: Any, *, retries_taken: int = 0) -> httpx2.Headers:
        headers = super()._build_headers(options, retries_taken=retries_taken)
        if options.method.lower() != "post":
            headers.pop(_KEY, None)
        elif options.url in manners.WAITING and "prefer" not in headers:
            timeout = self.timeout if isinstance(options.timeout, NotGiven) else options.timeout
            seconds = timeout.read if isinstance(timeout, httpx2.Timeout) else timeout
            if seconds is not None:
                headers["Prefer"] = manners.preference(seconds)
        return headers

    def _should_retry(self, response: Any) -> bool:
        if (asked_pause(response.headers) or 0) > manners.LONGEST_ASKED_SECONDS:
            return False
        if "x-should-retry" not in response.headers and manners.stands(response.status_code, response.headers):
            return False
        return super()._should_retry(response)

    def _parse_retry_after_header(self, response_headers: Any = None) -> float | None:
        return None if response_headers is None else asked_pause(response_headers)

    def _make_sse_decoder(self) -> EventDecoder:
        return EventDecoder()

    def _stays(self, options: Any) -> Any:
        """A request that follows no redirect: no other server is sent the key, nor what was asked."""
        if options.follow_redirects is None:
            options.follow_redirects = False
        return options

    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> APIStatusError:
        return status_error(response, body)

    def _streamed(self, options: Any, stream_cls: Any) -> Any:
        """The class of a stream, whose silence has a limit of its own."""
        if isinstance(options.timeout, NotGiven):
            options.timeout = self.stream_timeout
        return checked(stream_cls)

    def _stay_in_process(self) -> None:
        """Use no connection that another process, from which this one was forked, uses as well."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            if self._makes_http:
                made: Any = type(self)
                self._client = made(base_url=self.base_url, api_key="none", timeout=self.timeout)._client

    def _copied(self, stream_timeout: Timeout | NotGiven, options: dict[str, Any]) -> dict[str, Any]:
        kept = self.stream_timeout if isinstance(stream_timeout, NotGiven) else stream_timeout
        return {**options, "_extra_kwargs": {**options.get("_extra_kwargs", {}), "stream_timeout": kept}}


@lru_cache(maxsize=1)
def _version() -> str:
    return version("fusionai")
