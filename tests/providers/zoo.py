"""The upstream zoo: what follows each fault of a provider, in each protocol. The table is the declaration.

A row is a fault, as the simulator is told to make it, and what must come of a first attempt that meets it:

- `realtime`: a caller waits, and another offer is left. `retry`: the same provider after a pause; `turn`: to the other
  offer; `fail`: the caller is told; `served`: there is an answer.
- `batch`: nobody waits until the window ends. `defer`, `turn`, `fail`, `served`.
- `breaker`: what the pace learns of the provider. `well`; `nothing`; `slower`: fewer calls a second; `busy`: the same,
  and a step towards a pause; `down`: a step towards a pause; `barred`: a pause at once, until somebody mends it.
- `charged`: what is served is charged, and nothing else. By which counts: `reported`, the provider's; `estimated`,
  ours, where it says none that can be meant; `capped`, an absurd one's, cut to what was held.

Where protocols differ, `order` and `comes` are dictionaries by protocol; where a stream differs, `streamed` says how.
Error bodies are those of tests/unit/fault_bodies.py, which names their sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from tests.unit.fault_bodies import anthropic, google, info, openai, quota

Order = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Comes:
    """What comes of a fault."""

    realtime: Literal["retry", "turn", "fail", "served"]
    batch: Literal["defer", "turn", "fail", "served"]
    breaker: str
    charged: Literal["", "reported", "estimated", "capped"] = ""


#: Later, and slower; and if its provider has too much to do, that counts towards a pause.
RATE, RATE_LONG = Comes("retry", "defer", "slower"), Comes("turn", "defer", "slower")
BUSY, BUSY_LONG = Comes("retry", "defer", "busy"), Comes("turn", "defer", "busy")
#: Later; that nobody answered, or that it failed, counts towards a pause, but not of an answer that had begun.
DOWN, SILENT = Comes("retry", "defer", "down"), Comes("turn", "defer", "down")
BROKEN, STALLED = Comes("retry", "defer", "nothing"), Comes("turn", "defer", "nothing")
#: Our key, our money: no waiting helps.
BARRED, FORBIDDEN = Comes("turn", "turn", "barred"), Comes("turn", "turn", "down")
#: Not served here, or not in this form; the provider is well.
MISSING, ELSEWHERE = Comes("turn", "turn", "down"), Comes("turn", "turn", "well")
#: The request's own fault.
CALLERS: Final = Comes("fail", "fail", "well")
SERVED = Comes("served", "served", "well", "reported")
GUESSED, CAPPED = Comes("served", "served", "well", "estimated"), Comes("served", "served", "well", "capped")


@dataclass(frozen=True, slots=True)
class Fault:
    """A row. `short`: the limit of time that is cut, since the fault is a silence; `modes`: where it can happen."""

    name: str
    order: Order
    comes: Comes | Mapping[str, Comes]
    streamed: Comes | Mapping[str, Comes] | None = None
    short: Literal["", "first", "idle", "whole"] = ""
    modes: str = "whole streamed"

    def order_for(self, protocol: str) -> Order | None:
        """How the simulator makes it in that protocol; None: it cannot happen there."""
        by_protocol = self.order.keys() <= {"openai", "anthropic", "google"}
        return self.order.get(protocol) if by_protocol else self.order

    def comes_in(self, protocol: str, mode: str) -> Comes:
        """What comes of it."""
        comes = self.streamed if mode == "streamed" and self.streamed is not None else self.comes
        return comes if isinstance(comes, Comes) else comes[protocol]


def says(status: int, body: Any, type: str = "application/json", **headers: str) -> dict[str, Any]:
    """The simulator answers with this body, as it stands."""
    text = body if isinstance(body, str) else orjson.dumps(body).decode()
    return {"kind": "answer", "status": status, "body": text, "headers": {"content-type": type, **headers}}


def each(openai: Any, anthropic: Any, google: Any) -> dict[str, Any]:
    """By protocol; what is None cannot happen there."""
    found = {"openai": openai, "anthropic": anthropic, "google": google}
    return {name: one for name, one in found.items() if one is not None}


def wrote(status: int, one: Any, two: Any, three: Any) -> dict[str, Any]:
    """The same status with each protocol's own body."""
    return each(*(None if body is None else says(status, body) for body in (one, two, three)))


def header(status: int, **headers: str) -> dict[str, Any]:
    """A refusal in the protocol's own shape, with headers."""
    return {"status": status, "headers": {name.replace("_", "-"): value for name, value in headers.items()}}


def message(content: Any, usage: Any = None) -> dict[str, Any]:
    """One of Anthropic's."""
    return says(200, {"type": "message", "content": content, "stop_reason": "end_turn", "usage": usage})


def _odd(kind: str, usage: Any) -> tuple[Any, Any, Any]:
    return {"kind": kind}, message([{"type": "text", "text": "Hello."}], usage), {"kind": kind}


_HTML = "<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1><hr>nginx</body></html>"
_NOW, _LATER = "Fri, 31 Dec 2100 23:58:00 GMT", "Fri, 31 Dec 2100 23:59:59 GMT"
_EVENTS = "text/event-stream"
_CREDIT = anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")
_SPENT = anthropic("rate_limit_error", "The monthly limit is reached", "enforced_spend_limit_reached")
_LIMITS = anthropic("invalid_request_error", "You have reached your specified API usage limits.")
_HARD = openai("Billing hard limit has been reached", "invalid_request_error", "billing_hard_limit_reached")
_NO_QUOTA = openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota")
_OFF = google(403, "PERMISSION_DENIED", "This API method requires billing.", info("BILLING_DISABLED"))
_DAY = google(429, "RESOURCE_EXHAUSTED", "Quota exceeded", quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"))
_KEY = google(400, "INVALID_ARGUMENT", "API key not valid.", info("API_KEY_INVALID"))
_HELD = anthropic("permission_error", "This organization is disabled", "organization_on_hold")
_SUSPENDED = google(403, "PERMISSION_DENIED", "Consumer has been suspended.", info("CONSUMER_SUSPENDED"))
_POLICY = openai("Rejected by our safety system.", "invalid_request_error", "content_policy_violation")
_FILTERED = anthropic("invalid_request_error", "Output blocked by content filtering policy")
_LARGE = openai("Request too large for gpt-4o on tokens per min (TPM)", "tokens", "rate_limit_exceeded")
_SAFETY = {"candidates": [{"finishReason": "SAFETY"}], "usageMetadata": {"promptTokenCount": 7}}
_BLOCKED = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 7}}

REFUSALS: Final = (
    Fault("429", {"status": 429}, RATE),
    Fault("429, Retry-After in seconds", {"status": 429, "retry_after": 1}, RATE),
    Fault("429, Retry-After of 0", {"status": 429, "retry_after": 0}, RATE),
    Fault("429, Retry-After of minutes", {"status": 429, "retry_after": 90}, RATE_LONG),
    Fault("429, Retry-After of a year, which nobody means", {"status": 429, "retry_after": 31_536_000}, RATE),
    Fault("429, Retry-After as a date", header(429, date=_NOW, retry_after=_LATER), RATE_LONG),
    Fault("429, Retry-After of no sense", header(429, retry_after="soon"), RATE),
    Fault("429, Retry-After below nothing", header(429, retry_after="-5"), RATE),
    Fault("429, retry-after-ms", header(429, retry_after_ms="700"), RATE),
    Fault("429, retry-after-ms before Retry-After", header(429, retry_after_ms="700", retry_after="90"), RATE),
    Fault("429, HTML", says(429, _HTML, "text/html"), RATE),
    Fault("429, nothing said", says(429, ""), RATE),
    Fault("429, our quota is used up", wrote(429, _NO_QUOTA, _SPENT, _DAY), BARRED),
    Fault("429, a request larger than a minute's rate", wrote(429, _LARGE, None, None), ELSEWHERE),
    Fault(
        "429, its engine has too much to do", {"status": 429, "code": "engine_overloaded_error"}, each(BUSY, RATE, RATE)
    ),
    Fault("529", {"status": 529, "code": "overloaded_error"}, BUSY),
    Fault("529, Retry-After of minutes", {"status": 529, "retry_after": 90}, BUSY_LONG),
    Fault("498, no capacity", says(498, openai("capacity", "capacity", "capacity_exceeded")), BUSY),
    Fault("500", {"status": 500}, DOWN),
    Fault("500, HTML", says(500, _HTML, "text/html"), DOWN),
    Fault("500, nothing said", says(500, ""), DOWN),
    Fault("501", {"status": 501}, MISSING),
    Fault("502, HTML", {"kind": "html"}, DOWN),
    Fault("502, nothing said", says(502, ""), DOWN),
    Fault("503", {"status": 503}, BUSY),
    Fault("503, Retry-After", {"status": 503, "retry_after": 1}, BUSY),
    Fault("503, HTML", says(503, _HTML, "text/html"), BUSY),
    Fault("504", {"status": 504}, DOWN),
    Fault("520, a gateway without its server", says(520, _HTML, "text/html"), DOWN),
    Fault("599", {"status": 599}, DOWN),
    Fault("408", {"status": 408}, BUSY),
    Fault("409", {"status": 409}, BUSY),
    Fault("425", {"status": 425}, BUSY),
    Fault("413", {"status": 413}, ELSEWHERE),
    Fault("400, the request is wrong", {"status": 400, "code": "invalid_value"}, CALLERS),
    Fault("400, nothing said", says(400, ""), CALLERS),
    Fault("415", {"status": 415}, CALLERS),
    Fault("422", {"status": 422}, CALLERS),
    Fault("400, too long for the model", {"kind": "context_length", "window": 1}, ELSEWHERE),
    Fault("400, a filter of prompts", wrote(400, _POLICY, _FILTERED, None), CALLERS),
    Fault("401", {"status": 401}, BARRED),
    Fault("400, which means the key", wrote(400, None, None, _KEY), BARRED),
    Fault("403", {"status": 403}, FORBIDDEN),
    Fault("403, the account is closed", wrote(403, None, _HELD, _SUSPENDED), FORBIDDEN),
    Fault("402", {"status": 402}, BARRED),
    Fault("400, a spend limit", wrote(400, _HARD, _LIMITS, None), BARRED),
    Fault("400, no credit left", wrote(400, None, _CREDIT, None), BARRED),
    Fault("403, billing is off", wrote(403, None, None, _OFF), FORBIDDEN),
    Fault("404, no such model", {"status": 404}, MISSING),
    Fault("405", says(405, ""), MISSING),
    Fault("418", says(418, _HTML, "text/html"), MISSING),
    Fault("301", says(301, "", location="http://127.0.0.1:9/"), MISSING),
    Fault("307, HTML", says(307, _HTML, "text/html", location="http://127.0.0.1:9/"), MISSING),
)

TRANSPORT: Final = (
    Fault("reset before the head", {"kind": "reset"}, DOWN),
    Fault("closed before the head", {"kind": "hang_up"}, DOWN),
    Fault("closed within the head", {"kind": "half_head"}, DOWN),
    Fault("no HTTP", {"kind": "not_http"}, DOWN),
    Fault("a header of 2 MB", {"kind": "long_header"}, DOWN),
    Fault("reset after the head", {"kind": "reset_after_head"}, BROKEN),
    Fault("reset within the body", {"kind": "reset_mid_body"}, BROKEN),
    Fault("content-length too long", {"kind": "wrong_content_length"}, BROKEN, streamed=SERVED),
    Fault("content-length too short", {"kind": "short_content_length"}, BROKEN),
    Fault("a chunk of no length", {"kind": "bad_chunks"}, BROKEN),
    Fault("chunks without an end", {"kind": "unended_chunks"}, BROKEN, streamed=SERVED),
    Fault("a body that its connection ends", {"kind": "unframed"}, SERVED),
    Fault("gzip that is none", {"kind": "bad_gzip"}, BROKEN),
    Fault("gzip that is cut", {"kind": "cut_gzip"}, BROKEN),
    Fault("silent before the head", {"kind": "hang"}, SILENT, short="first"),
    Fault("a head that drips", {"kind": "slow_head"}, SILENT, short="first"),
    Fault("silent after the head", {"kind": "slow_start", "seconds": 30}, BROKEN, short="idle", modes="whole"),
    Fault(
        "silent before its first event", {"kind": "slow_start", "seconds": 30}, STALLED, short="first", modes="streamed"
    ),
    Fault("silent within the body", {"kind": "stall"}, BROKEN, short="idle"),
    Fault("a body that drips", {"kind": "slow_body", "seconds": 30}, STALLED, short="whole"),
)

BODIES: Final = (
    Fault("an error in a 200", {"kind": "error_in_200"}, DOWN),
    Fault("a rate limit in a 200", {"kind": "error_in_200", "status": 429}, RATE),
    Fault("a refused key in a 200", {"kind": "error_in_200", "status": 401}, BARRED),
    Fault("no JSON", {"kind": "malformed_json"}, BROKEN),
    Fault("HTML in a 200", says(200, _HTML, "text/html"), BROKEN),
    Fault("nothing in a 200", says(200, ""), BROKEN),
    Fault("204", says(204, ""), BROKEN),
    Fault("an answer of the wrong type", {"kind": "none", "headers": {"content-type": "text/plain"}}, SERVED),
    Fault("no object", says(200, '"hello"'), ELSEWHERE),
    Fault("an array of nothing", says(200, "[]"), ELSEWHERE),
    # Google leaves out what is empty: no candidates are an empty answer, as an empty array is of others.
    Fault("no choices, content, candidates", says(200, {"id": "x", "object": "x"}), each(ELSEWHERE, ELSEWHERE, BROKEN)),
    Fault("none of them in an event", says(200, 'data: {"id":"x"}\n\n', _EVENTS), BROKEN),
    Fault("they are of another type", wrote(200, {"choices": "x"}, {"content": "x"}, {"candidates": "x"}), ELSEWHERE),
    Fault(
        "wrong shapes within",
        each({"kind": "wrong_shape"}, message([{"type": "text"}]), {"kind": "wrong_shape"}),
        ELSEWHERE,
    ),
    # Anthropic's models end a turn with nothing said (docs, handling-stop-reasons): that is what they answered.
    Fault("an empty answer", {"kind": "empty_choices"}, each(BROKEN, SERVED, BROKEN)),
    Fault("no usage", {"kind": "missing_usage"}, GUESSED),
    Fault("an absurd usage", {"kind": "excess_usage"}, CAPPED),
    Fault("a usage below nothing", each(*_odd("odd_usage", {"input_tokens": -1, "output_tokens": "many"})), GUESSED),
    Fault("a usage of zeros", each(*_odd("zero_usage", {"input_tokens": 0, "output_tokens": 0})), GUESSED),
    Fault("it declines", {"kind": "refusal"}, SERVED),
    Fault("a filter of answers", {"kind": "content_filter"}, each(SERVED, CALLERS, CALLERS)),
    Fault("a filter that cuts an answer", wrote(200, None, None, _SAFETY), SERVED),
    Fault("a prompt that it blocks", wrote(200, None, None, _BLOCKED), CALLERS),
    Fault("a stream for a whole, a whole for a stream", {"kind": "other_form"}, SERVED),
)

STREAMS: Final = tuple(
    Fault(name, order, comes, modes="streamed")
    for name, order, comes in (
        ("ends cleanly, and in its midst", {"kind": "truncated_stream"}, BROKEN),
        ("ends cleanly within an event", {"kind": "cut_event"}, BROKEN),
        ("ends cleanly before its first event", {"kind": "no_events"}, BROKEN),
        ("its end is missing", {"kind": "no_done"}, each(SERVED, SERVED, BROKEN)),
        ("an error at its beginning", {"kind": "error_mid_stream", "tokens": 0}, DOWN),
        ("an error in its midst", {"kind": "error_mid_stream"}, BROKEN),
        ("an error after its end", {"kind": "error_at_end"}, SERVED),
        ("its end twice", {"kind": "end_twice"}, SERVED),
        ("events that nobody knows", {"kind": "unknown_events"}, SERVED),
        ("lines of a megabyte", {"kind": "long_lines"}, SERVED),
        ("a byte order mark, comments, CRLF", {"kind": "odd_lines"}, SERVED),
        ("late within", {"kind": "stall", "seconds": 0.05}, SERVED),
    )
)

ZOO: Final = REFUSALS + TRANSPORT + BODIES + STREAMS


def repeats(key: str) -> dict[str, Order]:
    """Orders by which a provider repeats the key that it was called with, by where it does."""
    said = f"The key {key} may not do that."
    orders: dict[str, dict[str, Any]] = {
        **{str(status): {"status": status} for status in (400, 401, 403, 404, 413, 422, 429, 500, 529)},
        "in a 200": {"kind": "error_in_200", "status": 400},
        "in a stream": {"kind": "error_mid_stream", "status": 400},
        "in a stream, whose fault it is not": {"kind": "error_mid_stream", "status": 500},
        "after a stream": {"kind": "error_at_end", "status": 400},
        "as a code": {"status": 400, "code": key},
        "as the whole body": {"kind": "answer", "status": 400, "body": key},
        "as a field": {"kind": "answer", "status": 400, "body": f'{{"error":{{"message":"no","param":"{key}"}}}}'},
        "as another field": {"kind": "answer", "status": 400, "body": f'{{"detail":[{{"msg":"no {key}"}}]}}'},
        "in an address": {"status": 400, "message": f"POST https://provider.example/v1?api-version=1&key={key} failed"},
        "in a header": {"status": 400, "headers": {"location": key, "retry-after": key}},
    }
    return {
        name: order if order.get("kind") == "answer" else {"message": said, **order} for name, order in orders.items()
    }
