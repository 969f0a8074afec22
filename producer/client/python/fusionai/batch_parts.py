"""What `fusionai.batch` decides: how requests are cut into batches, under which keys, and what comes of them. Pure."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

Tier = Literal["auto", "cheapest", "default"]
Request = Mapping[str, Any]

#: Lines of the first batch, and of the largest: the first results come soon, and many requests make few batches.
FIRST_LINES, MOST_LINES = 100, 10_000
#: Bytes of a file of lines; the server takes more.
MOST_BYTES: Final = 50_000_000
#: Batches under way at a time.
MOST_FLYING: Final = 8
#: A window from which there is time for the tier that answers as there is room, in hours.
CALM_HOURS: Final = 4
CHEAP_TIER: Final = "flex"
#: The first pause between two looks, and the longest; each is a quarter longer than the one before. In seconds.
FIRST_LOOK, LONGEST_LOOK = 0.25, 5.0
#: Pages of results that are read of a batch in one look at it.
MOST_PAGES: Final = 20
#: Requests in a batch, at most.
MOST_FIXED: Final = 50_000
#: Seconds for an upload, or for reading the results.
FILE_SECONDS: Final = 120.0
OVER: Final = frozenset({"failed", "completed", "expired", "cancelled"})
_UNSAID: Final = "the line failed without a message"
_URL: Final = "/v1/chat/completions"
#: Part of every key: files are made in another way by a client of another format.
_FORMAT: Final = "batch-1"


@dataclass(frozen=True)
class BatchResult:
    """What became of a request: `body`, its answer as JSON, or `error` (`code`, `message`)."""

    custom_id: str
    status_code: int | None
    body: dict[str, Any] | None
    error: dict[str, Any] | None


@dataclass(frozen=True)
class Tally:
    """How many requests have an answer, have failed, and have been taken so far."""

    completed: int
    failed: int
    total: int


@dataclass
class Part:
    """Some of the requests: one batch. `waiting`: the custom ids, in order, whose result has not been given."""

    number: int
    waiting: dict[str, None]
    content: bytes
    batch_id: str = ""
    completed: int = 0
    failed: int = 0
    given: int = 0
    #: The place in the list of its results up to which they have been read; whether there is such a list.
    after: str | None = None
    listed: bool = True

    def take(self, line: Mapping[str, Any]) -> "BatchResult | None":
        """The result of a line, unless it has been given, or is of none of these requests."""
        custom_id = line.get("custom_id")
        if custom_id not in self.waiting:
            return None
        del self.waiting[custom_id]
        self.given += 1
        return _result(custom_id, line)

    def rest(self, status: str) -> Iterator["BatchResult"]:
        """Those of the requests of which no file tells."""
        for custom_id in [*self.waiting]:
            del self.waiting[custom_id]
            yield _never(custom_id, status)

    def key(self, purpose: str, salt: str) -> str:
        """The Idempotency-Key of its file or its batch: the same for the same requests."""
        text = "\0".join((_FORMAT, hashlib.sha256(self.content).hexdigest(), str(self.number), purpose, salt))
        return f"{_FORMAT}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


class Cutter:
    """Cuts requests into parts. `cheap`: the models whose cheaper tier is to be asked for."""

    def __init__(self, lines_per_batch: int | None) -> None:
        if lines_per_batch is not None and not 1 <= lines_per_batch <= MOST_FIXED:
            raise ValueError(f"lines_per_batch: 1 to {MOST_FIXED:,}, not {lines_per_batch}")
        self.cheap: frozenset[str] = frozenset()
        self._fixed = lines_per_batch
        self._made = self._taken = self._size = 0
        self._ids: dict[str, None] = {}
        #: Eight bytes of the hash of each custom id: there may be millions of them.
        self._known: set[int] = set()
        self._lines: list[bytes] = []

    @property
    def taken(self) -> int:
        """How many requests there were."""
        return self._taken

    def add(self, request: Request) -> Part | None:
        """One more request; a part, where the ones before it or with it fill one."""
        self._taken += 1
        custom_id, line = _line(self._taken, request, self.cheap)
        mark = int.from_bytes(hashlib.blake2b(custom_id.encode(errors="surrogatepass"), digest_size=8).digest())
        if mark in self._known:
            raise ValueError(f"custom_id {custom_id!r} comes twice")
        full = self.rest() if self._size + len(line) > MOST_BYTES else None
        self._known.add(mark)
        self._ids[custom_id] = None
        self._lines.append(line)
        self._size += len(line)
        most = self._fixed or min(FIRST_LINES << min(self._made, 16), MOST_LINES)
        return full or (self.rest() if len(self._lines) >= most else None)

    def rest(self) -> Part | None:
        """What has been added and is in no part yet."""
        if not self._lines:
            return None
        part = Part(self._made, self._ids, b"".join(self._lines))
        self._ids, self._lines, self._size = {}, [], 0
        self._made += 1
        return part


def _line(position: int, request: Request, cheap: frozenset[str]) -> tuple[str, bytes]:
    if not isinstance(request, Mapping):
        raise TypeError(f'request {position} is {type(request).__name__}: {{"body": {{…}}, "custom_id"?}} is wanted')
    named = request.get("custom_id")
    custom_id = f"line-{position}" if named is None or named == "" else str(named)
    if not isinstance(request.get("body"), Mapping):
        raise ValueError(f'request {custom_id!r} has no body: {{"body": {{…}}, "custom_id"?, "url"?}} is wanted')
    body = dict(request["body"])
    if body.get("model") in cheap and "service_tier" not in body:
        body["service_tier"] = CHEAP_TIER
    line = {"custom_id": custom_id, "method": "POST", "url": request.get("url", _URL), "body": body}
    return custom_id, json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def wants_cheap(tier: Tier, completion_window: str) -> bool:
    """Whether the cheaper tier is to be asked for: always, never, or where there is time."""
    if tier not in get_args(Tier):
        raise ValueError(f"tier: one of {', '.join(get_args(Tier))}, not {tier!r}")
    hours = completion_window.removesuffix("h")
    calm = hours.isascii() and hours.isdigit() and int(hours) >= CALM_HOURS
    return tier == "cheapest" or (tier == "auto" and calm)


def lines(file: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The lines of an output or an error file."""
    for line in file:
        if line.strip():
            yield json.loads(line)


def _result(custom_id: str, line: Mapping[str, Any]) -> BatchResult:
    response, error = line.get("response"), line.get("error")
    if response is None:
        return BatchResult(custom_id, None, None, error)
    status, body = response["status_code"], response["body"]
    if status < 400:
        return BatchResult(custom_id, status, body, None)
    said = body.get("error") if isinstance(body, Mapping) else None
    said = said if isinstance(said, Mapping) else {}
    code = said.get("reason") or said.get("type") or str(status)
    return BatchResult(custom_id, status, None, {**said, "code": code, "message": said.get("message") or _UNSAID})


def _never(custom_id: str, status: str) -> BatchResult:
    message = f"the batch was over ({status}) before this request was answered"
    return BatchResult(custom_id, None, None, {"code": f"batch_{status}", "message": message})
