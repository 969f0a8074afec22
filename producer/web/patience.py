"""How long a caller waits, read from the request's headers: RFC 7240's `Prefer`, and the SDKs' own timeouts. Pure."""

import re
from dataclasses import dataclass

from starlette.datastructures import Headers

#: Headers in which official SDKs tell after how many seconds of silence they give up, the more exact one first: that of
#: the Python SDKs (OpenAI, Anthropic), and that of the ones for Node, where a timeout was set for the call.
_TIMEOUTS = ("x-stainless-read-timeout", "x-stainless-timeout")
#: So long before a client gives up it has its answer; one that waits for less than twice as long has it at half of that
#: time. In seconds, as is the shortest time that such a header is believed.
_SPARE_SECONDS = 2.0
_LEAST_SECONDS = 0.5

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class Patience:
    """What a caller has said, in seconds; None: nothing.

    `wait`: the answer is wanted by then (`Prefer: wait`). `silence`: after so long without a byte the client has still
    not given up.
    """

    respond_async: bool = False
    wait: float | None = None
    silence: float | None = None

    def for_answer(self, most: float) -> float:
        """How long a call that is not streamed waits for its job; `most`: the server's own limit."""
        wait = 0.0 if self.respond_async and self.wait is None else self.wait
        return _least(most, wait, self.silence)

    def for_first_event(self, most: float) -> float:
        """How long a stream may stay without an event: comments keep it from being silent."""
        return _least(most, self.wait)

    def for_silence(self, most: float) -> float:
        """How long may pass until a stream's head, and between two things in it."""
        return _least(most, self.silence)


def read(headers: Headers) -> Patience:
    """What the headers tell; what is not known or cannot be read is as good as absent."""
    if not any(name in headers for name in ("prefer", *_TIMEOUTS)):
        return Patience()
    wanted: dict[str, str] = {}
    for text in ",".join(headers.getlist("prefer")).replace(";", ",").split(","):
        name, _, value = text.strip().partition("=")
        wanted.setdefault(name.strip().lower(), value.strip().strip('"'))
    timeouts = [seconds for name in _TIMEOUTS if (seconds := _seconds(headers.get(name)))]
    return Patience("respond-async" in wanted, _seconds(wanted.get("wait")), _before(timeouts[0]) if timeouts else None)


def _before(timeout: float) -> float:
    """When an answer still reaches a client that gives up after so long."""
    return max(timeout - _SPARE_SECONDS, timeout / 2, _LEAST_SECONDS)


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and _SECONDS.fullmatch(text.strip()) else None


def _least(most: float, *others: float | None) -> float:
    return min([most, *(seconds for seconds in others if seconds is not None)])
