"""One call of a provider: its three timeouts, whether an answer had begun, its rate-limit headers."""

import asyncio
import math
from collections.abc import Mapping
from itertools import takewhile
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit

import httpx

from shared import clock
from shared.errors import ProviderError
from shared.providers.limits import RateLimits
from workers.upstream import rate_headers, request_ids
from workers.upstream.connecting import UNREACHED
from workers.upstream.faults import REFUSED_FROM
from workers.upstream.http import HttpAnswer
from workers.upstream.time_limits import TimeLimits

#: After an answer is whole, so long for what may still come: what it used, and the stream's end.
LINGER_SECONDS = 5.0
#: The same where nothing comes but comments, which say that somebody is there and not that anything follows.
MOST_LINGER_SECONDS = 30.0

_EXPIRED = {
    "first_byte": "the provider did not start to respond in time",
    "idle": "the provider stopped sending in the middle of its response",
    "timeout": "the provider's response took too long",
}
#: Bytes of one answer, all of which a worker keeps in memory: more than the largest that any provider gives, which is
#: that of 2,048 long embeddings, or of ten images.
MOST_ANSWER_BYTES = 256 * 1024 * 1024

#: Codes of ours for an answer that had begun, or had come, and is none.
_SPOILED = frozenset({"shape", "protocol", "reset", "empty", "truncated", "first_byte", "idle", "timeout"})

#: Headers with these words in their names have our key; a shorter value may stand in any sentence.
_KEY_HEADERS, _LEAST_KEY = ("key", "authorization", "token"), 8
#: So many characters of the beginning of a key are hidden like the whole.
LEAST_PIECE = 12
#: What stands in its place where a provider repeats it.
HIDDEN = "[key]"


class Exchange:
    """`with exchange:` around what waits for the provider; whatever breaks in it becomes a ProviderError.

    One timer a call, moved by being looked at when it rings, since thousands are under way and each piece of an answer
    moves it. When it rings for good, the task is cancelled where it waits, as by `asyncio.timeout`; cancelled from
    elsewhere, it stays cancelled.
    """

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits
        self._idle = limits.idle_seconds
        self._expired: str | None = None
        #: The head of an answer that is no refusal has come.
        self.head = False
        #: The answer has begun, so that the first limit is over.
        self.begun = False
        #: Some of its content has been read and passed on.
        self.passed_on = False
        self.limits: RateLimits | None = None
        #: What the provider calls the call by; several, where several requests make one call.
        self.request_ids: list[str] = []
        #: The headers of the answer.
        self.headers: Mapping[str, str] = {}
        #: When a whole answer has been waited for long enough, unless more events come.
        self._latest = math.inf
        self._bytes = 0
        #: The address and the headers of the request, which have our key.
        self._asked: tuple[str, Mapping[str, str]] = ("", {})

    @property
    def silence_seconds(self) -> float:
        """For the request: how long the transport has to bear the provider's silence."""
        return max(self._limits.first_seconds, self._idle)

    def answered(self, answer: HttpAnswer, url: str, headers: Mapping[str, str]) -> None:
        """The head of the answer to a request of this address and these headers has come."""
        self.head = answer.status_code < REFUSED_FROM
        self.headers = answer.headers
        self._asked = (url, headers)
        if (id := request_ids.of(answer.headers)) is not None and not any(key in id for key in _keys(url, headers)):
            self.request_ids.append(id)
        if "ratelimit" in " ".join(answer.headers):  # one search, not one for each of them
            self.limits = rate_headers.read(answer.headers, now_seconds=clock.now_micros() / clock.MICROS)

    def begin(self) -> None:
        """The first limit is over; from now on, silences count."""
        self.begun = True
        self.alive()
        self._hasten()

    def alive(self, bytes: int = 0) -> None:
        """So much has come, which ends a silence; before there is content, it changes nothing.

        ProviderError when it is more than any answer has, or when the time was over: the caller stops reading.
        """
        if self._expired:  # a piece that comes in the moment of the cancellation swallows it
            raise ProviderError(_EXPIRED[self._expired], code=self._expired)
        self._bytes += bytes
        if self._bytes > MOST_ANSWER_BYTES:
            raise ProviderError("the provider's response is too large", upstream_status=200, code="protocol")
        if self.begun:
            self._due = min(self._loop.time() + self._idle, self._latest)

    def whole(self) -> None:
        """Nothing that matters is still to come; said again with each event that comes nonetheless."""
        self._latest = self._loop.time() + MOST_LINGER_SECONDS
        self._idle = min(self._idle, LINGER_SECONDS)
        self.alive()
        self._hasten()

    def mark(self, error: ProviderError) -> ProviderError:
        """The same error, with what this exchange knows of it, and without our key, which its provider may repeat."""
        for key in _keys(*self._asked):
            error.message = _without(error.message, key)
            error.args = (error.message,)
            error.code = error.code and _without(error.code, key)
            error.param = error.param and _without(error.param, key)
        error.head = error.head or self.passed_on or (self.head and error.code in _SPOILED)
        error.limits = error.limits or self.limits
        error.request_ids = self.request_ids
        return error

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._loop = task.get_loop()
        now = self._loop.time()
        self._due = now + self._limits.first_seconds
        self._end = now + self._limits.whole_seconds
        # Not later than a silence could end the call: so it need not be set anew when the answer begins.
        self._timer = self._loop.call_at(min(self._due, self._end, now + self._idle), self._look)

    def _hasten(self) -> None:
        """The timer moves itself later, but not earlier."""
        if min(self._due, self._end) < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(min(self._due, self._end), self._look)

    def _look(self) -> None:
        now, due = self._loop.time(), min(self._due, self._end)
        if now < due:
            self._timer = self._loop.call_at(due, self._look)
            return
        self._expired = "timeout" if now >= self._end else "idle" if self.begun else "first_byte"
        self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise ProviderError(_EXPIRED[self._expired], code=self._expired) from None
        if isinstance(error, httpx.RequestError):
            raise _broken(error) from None


def _keys(url: str, headers: Mapping[str, str]) -> list[str]:
    """The keys that a request has in its headers, or in the query of its address."""
    asked = (*headers.items(), *(parse_qsl(urlsplit(url).query) if "?" in url else ()))
    return [value for value in map(_key, asked) if len(value) >= _LEAST_KEY]


def _key(header: tuple[str, str]) -> str:
    """The key that a header of a request, or a parameter of its address, has; empty when it has none."""
    name, value = header
    if not any(word in name.lower() for word in _KEY_HEADERS):
        return ""
    return value.removeprefix("Bearer ")


def _without(text: str, key: str) -> str:
    """A text without a key, and without the beginning of it, which is left where a long text was cut."""
    text = text.replace(key, HIDDEN)
    begin = key[:LEAST_PIECE]
    while len(begin) == LEAST_PIECE and (start := text.find(begin)) >= 0:
        end = start + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text[start:], key, strict=False)))
        text = text[:start] + HIDDEN + text[end:]
    return text


def _broken(error: httpx.RequestError) -> ProviderError:
    """What an exchange that broke off is; the transport's ConnectTimeout is the connecting's: its other limits are
    longer than ours.
    """
    match error:
        case httpx.ProxyError():
            return ProviderError(str(error), code="connect")
        case httpx.ConnectError() | httpx.ConnectTimeout():
            why = str(error) if str(error).startswith(UNREACHED) else UNREACHED
            return ProviderError(why, code="connect")
        case httpx.TimeoutException():
            return ProviderError(_EXPIRED["idle"], code="idle")
        case httpx.DecodingError():
            return ProviderError("the provider's response is incomplete", code="protocol")
        case _:
            return ProviderError("the connection to the provider was interrupted", code="reset")
