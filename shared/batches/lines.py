"""The lines of a batch's file: read strictly, priced, and written as a plan (`shared.batches.plan_lines`).

A line is OpenAI's: `{"custom_id", "method": "POST", "url", "body"}`. What is wrong with a file is told by line, code
and parameter, up to MOST_FAULTS of them. A plan has a line for each good one, in its order.

A file is cut into chunks of lines (`chunks`), each is read for itself, by any process (`read`), and what was found is
put together in order (`FileReading`): what is wrong across lines is only seen there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from shared import strict_json
from shared.batches import line_files
from shared.batches.line_files import FaultError
from shared.batches.plan_lines import planned
from shared.dialects import BY_URL
from shared.dialects.line_format import LineFormat, Renamed
from shared.errors import FusionError, InvalidRequest, RequestRefused
from shared.money.estimates import Likely
from shared.money.shortage import Need
from shared.submissions import likely_cost, linked_context, linked_message, quote
from shared.submissions.catalogue import catalogue
from shared.submissions.job_types import ENDPOINTS, JobType
from shared.submissions.key_rules import NO_RULES, KeyRules
from shared.submissions.linked_context import Entity, Key
from shared.submissions.offers import Offer
from shared.submissions.rows import PricedSubmission, bounded, priced
from shared.submissions.schemas import ON_SHORTAGE, Submission, read_submission
from shared.submissions.sizes import MOST_CUSTOM_ID, MOST_FAULTS, MOST_LINE_BYTES, MOST_LINES, MOST_WITH_BLANKS

#: Bytes of a chunk, a last line more: about 10 ms of reading.
CHUNK_BYTES: Final = 256 * 1024

_KNOWN: Final = frozenset({"custom_id", "method", "url", "body"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file's lines have to be."""

    #: Every line's url; None: lines may be of different ones.
    endpoint: str | None
    test: bool
    #: Fields of a body that nobody knows are no fault.
    ignore_unknown: bool = False
    #: Whether lines may be linked to entities, and those that the lines of this chunk name.
    may_link: bool = False
    entities: Mapping[Key, Entity] = field(default_factory=dict)
    #: What the lines are likely to cost is to be known, too.
    likely: bool = False
    #: A plan is to be made of them; False: nothing of them is kept.
    plan: bool = True
    #: What the batch's key may ask for.
    rules: KeyRules = NO_RULES


@dataclass(slots=True)
class ReadChunk:
    """What was found in a chunk. Line numbers are counted from 0 within it."""

    lines: int
    #: Each usable custom_id and its line, also of lines that are wrong otherwise.
    custom_ids: list[tuple[str, int]] = field(default_factory=list)
    #: The good lines.
    good: list[int] = field(default_factory=list)
    plan: bytes = b""
    need: Need = field(default_factory=Need)
    models: set[str] = field(default_factory=set)
    faults: list[FaultError] = field(default_factory=list)


@dataclass(slots=True)
class FileReading:
    """One file being read: what has been found so far. `over`: nothing more of it needs to be read."""

    number: int = 0
    total: int = 0
    need: Need = field(default_factory=lambda: Need(lines=True))
    models: set[str] = field(default_factory=set)
    faults: list[FaultError] = field(default_factory=list)
    over: bool = False
    #: Whether a fault that is told once has been.
    _told: bool = False
    _lines: dict[str, int] = field(default_factory=dict)

    @property
    def bound_micros(self) -> int:
        """What all lines may cost at most."""
        return self.need.micros

    @property
    def model(self) -> str | None:
        """Every line's model; None when they differ."""
        return next(iter(self.models)) if len(self.models) == 1 else None

    def add(self, part: ReadChunk) -> bytes:
        """Put the next chunk's findings to the others; its lines of the plan."""
        first = self.number + 1
        faults = [
            FaultError(fault.code, fault.message, fault.param, first + (fault.line or 0))
            for fault in part.faults
            if not (fault.once and self._told)
        ]
        self._told = self._told or any(fault.once for fault in part.faults)
        faults += self._doubles(part, first)
        faults += self._surplus(part, first)
        self.faults = sorted([*self.faults, *faults], key=lambda fault: fault.line or 0)[:MOST_FAULTS]
        self.over = self.over or len(self.faults) >= MOST_FAULTS
        self.number += part.lines
        self.total += len(part.good)
        self.need.extend(part.need)
        self.models |= part.models
        return part.plan

    def end(self) -> None:
        """There are no more chunks."""
        if not self.total and not self.faults:
            self.faults.append(FaultError("empty_file", "the file is empty"))

    def _doubles(self, part: ReadChunk, first: int) -> Iterator[FaultError]:
        for custom_id, line in part.custom_ids:
            earlier = self._lines.setdefault(custom_id, first + line)
            if earlier != first + line:
                message = f"duplicate custom_id {custom_id!r}: already used on line {earlier}"
                yield FaultError("duplicate_custom_id", message, "custom_id", first + line)

    def _surplus(self, part: ReadChunk, first: int) -> Iterator[FaultError]:
        """The first line too many; what follows would only repeat this fault."""
        if self.total + len(part.good) > MOST_LINES:
            self.over = True
            line = first + part.good[MOST_LINES - self.total]
            yield FaultError("too_many_lines", f"too many lines: a batch can have at most {MOST_LINES:,}", None, line)
        elif self.number + part.lines > MOST_WITH_BLANKS:
            self.over = True
            message = f"too many lines: a file can have at most {MOST_WITH_BLANKS:,}, including blank lines"
            yield FaultError("too_many_lines", message, None, MOST_WITH_BLANKS + 1)


def chunks(source: BinaryIO) -> Iterator[list[bytes]]:
    """A file's lines by the chunk; a line that is too long is the last, and not whole. FaultError: it has no lines."""
    chunk: list[bytes] = []
    size = 0
    for line in line_files.cut(source, MOST_LINE_BYTES):
        chunk.append(line)
        size += len(line)
        if len(line) > MOST_LINE_BYTES:
            break
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def read(raws: Sequence[bytes], wanted: Wanted) -> ReadChunk:
    """Read and price a chunk. Pure but for the catalogue, so that any process may do it."""
    part = ReadChunk(len(raws))
    plan: list[bytes] = []
    for number, raw in enumerate(raws):
        try:
            if raw.strip():
                plan.append(_read(raw, wanted, part, number))
        except FaultError as fault:
            if fault.once and any(other.once for other in part.faults):
                continue
            fault.line = number
            part.faults.append(fault)
            if len(part.faults) >= MOST_FAULTS:
                part.lines = number + 1
                break
    part.plan = b"".join(plan)
    return part


def _read(raw: bytes, wanted: Wanted, part: ReadChunk, number: int) -> bytes:
    if len(raw) > MOST_LINE_BYTES:
        raise FaultError("line_too_long", f"line is larger than {MOST_LINE_BYTES // (1024 * 1024)} MB")
    line = _parsed(raw)
    custom_id = _custom_id(line)
    part.custom_ids.append((custom_id, number))
    found = _priced(line, custom_id, wanted, part.need.likely)
    part.good.append(number)
    part.need.add(found.bound_micros, found.fixed, found.slope)
    part.models.add(found.model)
    return planned(found) if wanted.plan else b""


def _custom_id(line: dict[str, Any]) -> str:
    custom_id = line.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MOST_CUSTOM_ID:
        message = f"custom_id must be a string of 1 to {MOST_CUSTOM_ID} characters"
        raise FaultError("missing_custom_id" if custom_id is None else "invalid_custom_id", message, "custom_id")
    return custom_id


def _priced(line: dict[str, Any], custom_id: str, wanted: Wanted, likely: Likely) -> PricedSubmission:
    if not line.keys() <= _KNOWN:
        name = min(line.keys() - _KNOWN)[:100]
        raise FaultError("unknown_field", f"{name}: unknown field; allowed fields: custom_id, method, url, body", name)
    if line.get("method") != "POST":
        raise FaultError("invalid_method", "method must be POST", "method")
    url, type = _endpoint(line, wanted.endpoint)
    body = line.get("body")
    if not isinstance(body, dict):
        raise FaultError("invalid_body", "body must be a JSON object", "body")
    try:
        if (format := BY_URL.get(url)) is not None:
            return _of_dialect(format, body, custom_id, wanted, likely)
        submission = read_submission(type, body, at="body.", ignore_unknown=wanted.ignore_unknown)
        offered = _offered(submission, wanted, likely, at="body.")
        return priced(*offered, custom_id) if wanted.plan else bounded(*offered)
    except FusionError as error:
        raise FaultError("invalid_request", error.message, error.param) from None


def _offered(submission: Submission, wanted: Wanted, likely: Likely, *, at: str) -> tuple[Submission, Sequence[Offer]]:
    """A submission with what it is linked to, and its offers; `at`: before the name of what is wrong."""
    if submission.waits:
        raise InvalidRequest(f"{at}{ON_SHORTAGE}: is a field of the batch, not of a line", param=f"{at}{ON_SHORTAGE}")
    if submission.linked and not wanted.may_link:
        raise linked_context.refusal(at)
    submission = linked_message.with_entities(submission, wanted.entities, at=at)
    made = quote.offers(submission, catalogue(), test=wanted.test, at=at, rules=wanted.rules)
    if wanted.likely:
        likely_cost.add(likely, submission, made)
    return submission, made


def _of_dialect(
    format: LineFormat, body: dict[str, Any], custom_id: str, wanted: Wanted, likely: Likely
) -> PricedSubmission:
    """A line in a dialect's own form, with the body as it was sent."""
    renamed: Renamed = lambda error: error  # noqa: E731
    try:
        submission, renamed = format.read(body, wanted.ignore_unknown)
        offered = _offered(submission, wanted, likely, at="")
        if not wanted.plan:
            return bounded(*offered)
        found = priced(*offered, custom_id)
    except RequestRefused as error:
        raise _in_body(renamed(error)) from None
    found.dialect, found.sent = format.dialect, strict_json.dumps(body)
    return found


def _in_body(error: RequestRefused) -> RequestRefused:
    """The same, with the place in the line of what is wrong."""
    if error.param:
        error.message = error.message.replace(error.param, f"body.{error.param}", 1)
        error.param = f"body.{error.param}"
    return error


def _endpoint(line: dict[str, Any], endpoint: str | None) -> tuple[str, JobType]:
    """The line's url, and the type of its job."""
    url = line.get("url")
    if not isinstance(url, str) or url not in ENDPOINTS:
        raise FaultError("invalid_url", f"url must be one of {', '.join(ENDPOINTS)}", "url")
    if endpoint is not None and _kind(endpoint) != _kind(url):
        raise FaultError("mismatched_url", f"url {url} does not match the batch's endpoint {endpoint}", "url")
    return url, ENDPOINTS[url]


def _kind(url: str) -> tuple[JobType | None, LineFormat | None]:
    """What two urls of one kind have in common: the type, and the form of the body."""
    return ENDPOINTS.get(url), BY_URL.get(url)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        strict_json.check_structure(raw)
        line = strict_json.loads(raw, what="line")
    except InvalidRequest as error:
        line_files.decoded(raw)
        raise FaultError("invalid_json_line", error.message) from None
    except FusionError as error:
        raise FaultError("line_too_long", error.message) from None
    if not isinstance(line, dict):
        raise FaultError("invalid_json_line", "line is not a JSON object")
    return line
