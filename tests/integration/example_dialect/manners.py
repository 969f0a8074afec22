"""How the example dialect refuses, streams and dresses what it answers: in no way like the native one."""

import orjson

from producer.admission.limits.allowances import Allowance
from producer.web.dialect import BrokenStream, Refusal, event
from producer.web.rate_headers import What
from shared.errors import FusionError
from shared.submissions.job_types import JobType

#: Its word for each status, and where it has a status of its own.
WORDS = {400: "BAD", 401: "WHO", 402: "POOR", 404: "NOWHERE", 405: "HOW", 429: "SLOWLY", 500: "SORRY"}
STATUSES = {402: 403}


def refuse(error: FusionError, request_id: str) -> Refusal:
    """`{"fault": …}`."""
    fault = {"word": WORDS.get(error.status, "OTHER"), "text": error.message, "request": request_id}
    headers = {"X-Example-Fault": fault["word"]}
    return Refusal({"fault": fault}, headers, STATUSES.get(error.status))


def limit_headers(allowance: Allowance, what: What) -> list[tuple[bytes, bytes]]:
    """What is left, and of how many; of tokens it says nothing."""
    return [] if what == "tokens" else [(b"x-example-left", b"%d/%d" % (allowance.remaining, allowance.limit))]


def answer_headers(request_id: str) -> list[tuple[bytes, bytes]]:
    """The request's id under a name of its own."""
    return [(b"example-request", request_id.encode())]


def dress(type: JobType, result: str) -> str:
    """The text alone."""
    made = orjson.loads(result)
    return orjson.dumps({"said": made["choices"][0]["message"]["content"], "by": made["model"]}).decode()


class Frames:
    """Named events: `begin`, a `piece` for each text, `finish` with the usage, which it has kept."""

    media_type = "text/event-stream"
    keeps_thoughts = False

    def __init__(self) -> None:
        self._begun = False
        self._usage: dict[str, int] | None = None

    def chunk(self, chunk: bytes, event_id: str | None) -> bytes:
        """One chunk may be two events, or none."""
        made = orjson.loads(chunk)
        self._usage = made.get("usage") or self._usage
        frames = b""
        if not self._begun:
            self._begun = True
            frames += event(orjson.dumps({"by": made["model"]}), name="begin", id=event_id)
        for choice in made["choices"]:
            if text := choice["delta"].get("content"):
                frames += event(orjson.dumps({"text": text}), name="piece", id=event_id)
        return frames

    def end(self) -> bytes:
        """Where others say `[DONE]`."""
        return event(orjson.dumps({"usage": self._usage}), name="finish")

    def error(self, fault: BrokenStream) -> bytes:
        """A refusal, in the stream."""
        refusal = refuse(fault.error, fault.request_id)
        return event(orjson.dumps({**refusal.content, "job": fault.job_id}), name="fault")

    def comment(self) -> bytes:
        """An event, as some APIs do it."""
        return event(b"{}", name="ping")
