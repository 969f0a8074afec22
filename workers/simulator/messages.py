"""What travels through the simulator: a request as read, a reply as it will be sent, and a refusal."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import orjson

Protocol = Literal["openai", "google-openai", "anthropic", "google"]
UsageFault = Literal["right", "missing", "excess"]
T = TypeVar("T")

#: What a body of the wrong shape raises where no check foresaw it; a provider answers 400 to those, never 500.
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
#: What `excess_usage` reports for the prompt and for the answer, each.
ABSURD_TOKENS = 1_000_000_000


@dataclass(slots=True)
class SimulatedRequest:
    """One call as it arrived. `name` is the model in the path, for Gemini and `models/{id}`."""

    provider: str
    path: str
    query: dict[str, str]
    headers: dict[bytes, bytes]
    raw: bytes
    name: str = ""
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The model that is asked for, in the path or in the body; empty when nobody says."""
        named = self.name or self.body.get("model")
        return named if isinstance(named, str) else ""


@dataclass(slots=True)
class SimulatedReply:
    """A whole answer (`body`) or a stream of server-sent events (`events`, each with its blank line)."""

    status: int
    body: bytes = b""
    content_type: bytes = b"application/json"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    events: list[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Twist:
    """What a fault makes a provider say, which only its own protocol can express."""

    usage: UsageFault = "right"
    empty: bool = False
    ending: Literal["", "refusal", "content_filter"] = ""
    #: How many pieces the text of the answer has; None: as it comes.
    length: int | None = None

    def count(self, prompt: int, completion: int) -> tuple[int, int] | None:
        """The token counts to report, or None when none are."""
        if self.usage == "right":
            return prompt, completion
        return None if self.usage == "missing" else (ABSURD_TOKENS, ABSURD_TOKENS)


PLAIN = Twist()


class SimulatedRefusal(Exception):
    """The call is answered with an error, in the shape of the provider that was asked."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        type: str = "",
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.type = type
        self.param = param
        self.retry_after = retry_after


def json_reply(value: Any, status: int = 200) -> SimulatedReply:
    """A whole answer of JSON."""
    return SimulatedReply(status, orjson.dumps(value))


def stream_reply(events: list[bytes]) -> SimulatedReply:
    """An answer of server-sent events."""
    return SimulatedReply(200, content_type=b"text/event-stream; charset=utf-8", events=events)


def event(data: Any, name: str = "") -> bytes:
    """One server-sent event; Anthropic's have a name."""
    line = b"data: " + orjson.dumps(data) + b"\n\n"
    return b"event: " + name.encode() + b"\n" + line if name else line


def parse(raw: bytes) -> dict[str, Any]:
    """A body as a JSON object, or a 400."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise SimulatedRefusal(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise SimulatedRefusal(400, "The body must be a JSON object.")
    return body


def need(body: dict[str, Any], key: str, kind: type[T]) -> T:
    """The required field `key`, or a 400 that names it."""
    value = body.get(key)
    if value is None:
        raise SimulatedRefusal(
            400, f"Missing required parameter: '{key}'.", code="missing_required_parameter", param=key
        )
    return typed(value, kind, key)


def may(body: dict[str, Any], key: str, kind: type[T], default: T) -> T:
    """The optional field `key`; absent and null are the default, another type is a 400."""
    value = body.get(key)
    return default if value is None else typed(value, kind, key)


def typed(value: Any, kind: type[T], where: str) -> T:
    """The value if it is of this JSON type (true is no integer), else a 400 that names the place."""
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise SimulatedRefusal(400, f"Invalid type for '{where}'.", code="invalid_type", param=where)


def objects(body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The optional field `key` as a list of objects."""
    return [typed(item, dict, f"{key}[{at}]") for at, item in enumerate(may(body, key, list, []))]
