"""The simulator's own routes under /_simulator: the script, counts, log, usage, going down for a while, images."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from workers.simulator import media, usage_reports
from workers.simulator.call_log import CallLog
from workers.simulator.errors import error_reply
from workers.simulator.messages import SimulatedRefusal, SimulatedReply, json_reply, need, parse
from workers.simulator.rate_limits import RateLimiter
from workers.simulator.script import Script, ScriptBody
from workers.simulator.usage_log import UsageLog

#: A simulator that is down cannot be told to come up again; so it is never down for longer.
MOST_DOWN_SECONDS = 3600.0


class Control:
    """What tests and the demo order, and what they are told. `go_down`: the server's, which stops listening."""

    def __init__(self, script: Script, limits: RateLimiter, tally: CallLog, usage: UsageLog) -> None:
        self._script, self._limits, self._tally, self._usage = script, limits, tally, usage
        self.go_down: Callable[[float], None] | None = None

    def answer(self, method: str, path: str, query: dict[str, str], raw: bytes) -> SimulatedReply:
        """One request, refused in OpenAI's shape."""
        try:
            return self._answer(method, path, query, raw)
        except SimulatedRefusal as refused:
            return error_reply(refused, "openai")

    def _answer(self, method: str, path: str, query: dict[str, str], raw: bytes) -> SimulatedReply:
        if path == "script" and method in ("POST", "DELETE"):
            return json_reply(self._replace(_order(raw) if method == "POST" else ScriptBody()))
        if (method, path) == ("POST", "down"):
            return json_reply(self._down(parse(raw)))
        if method == "GET" and (told := self._told(path, query)) is not None:
            return json_reply(told)
        if (method, path) == ("GET", "usage"):
            return usage_reports.table(self._usage, query.get("provider", ""))
        if method == "GET" and path.startswith("images/"):
            return media.image(path.removeprefix("images/"))
        raise SimulatedRefusal(404, f"The simulator has no {method} /_simulator/{path}.", code="not_found")

    def _replace(self, order: ScriptBody) -> dict[str, Any]:
        self._script.replace(order)
        self._limits.replace(order.limits)
        self._tally.clear()
        return {"rules": len(order.rules), "limits": len(order.limits), "recording": order.record}

    def _told(self, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        whose = query.get("provider", ""), query.get("model", "")
        if path == "log":
            return self._tally.log(*whose)
        if path == "seconds":
            return self._tally.seconds(*whose)
        if path != "calls":
            return None
        if "contains" in query:
            return self._script.record.search(query["contains"])
        return self._script.record.fingerprints() if "fingerprints" in query else self._script.report()

    def _down(self, body: dict[str, Any]) -> dict[str, Any]:
        seconds = need(body, "seconds", float) if isinstance(body.get("seconds"), float) else need(body, "seconds", int)
        if not 0 < seconds <= MOST_DOWN_SECONDS:
            raise SimulatedRefusal(400, f"seconds: more than 0, at most {MOST_DOWN_SECONDS:g}", param="seconds")
        if self.go_down is None:
            raise SimulatedRefusal(400, "This simulator is not a server of its own, and cannot go down.")
        self.go_down(seconds)
        return {"down_seconds": seconds}


def _order(raw: bytes) -> ScriptBody:
    try:
        return ScriptBody.model_validate(parse(raw))
    except ValidationError as error:
        raise SimulatedRefusal(400, str(error), code="invalid_script") from None
