"""The lines of a batch's file: read strictly, priced, and written as a plan from which its jobs are made.

A line is OpenAI's: `{"custom_id", "method": "POST", "url", "body"}`. What is wrong with a file is told by line, code
and parameter, up to MOST_FAULTS of them. A plan has a line for each good one, in its order, made by this program alone,
so it is not checked again: prices and offers are fixed in it, whatever becomes of the catalogue meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import orjson

from shared import quote, strict_json
from shared.catalogue import catalogue
from shared.errors import FusionError, InvalidRequest
from shared.intake import Priced, priced
from shared.schemas import JobType, read_submission

MOST_LINES: Final = 50_000
#: Lines with blank ones; what has more is no file of lines.
MOST_WITH_BLANKS: Final = 2 * MOST_LINES
MOST_FAULTS: Final = 100
#: Bytes of a line: what a request body may have.
MOST_LINE_BYTES: Final = 50 * 1024 * 1024
MOST_CUSTOM_ID: Final = 512

TYPES: Final[Mapping[str, JobType]] = {
    "/v1/chat/completions": "chat.completion",
    "/v1/embeddings": "embedding",
    "/v1/images/generations": "image",
    "/v1/images": "image",
}
_KNOWN: Final = frozenset({"custom_id", "method", "url", "body"})
_BOM: Final = b"\xef\xbb\xbf"


class FaultError(Exception):
    """One thing that is wrong with a file; `line` is counted from 1, None: it is about the whole."""

    def __init__(self, code: str, message: str, param: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param, self.line = code, message, param, line

    def shown(self) -> dict[str, Any]:
        """As OpenAI's batch object lists it."""
        return {"code": self.code, "line": self.line, "message": self.message, "param": self.param}


@dataclass(slots=True)
class Reading:
    """One file being read: what has been found so far."""

    #: Every line's url; None: lines may be of different ones.
    endpoint: str | None
    test: bool
    number: int = 0
    total: int = 0
    bound_micros: int = 0
    models: set[str] = field(default_factory=set)
    faults: list[FaultError] = field(default_factory=list)
    _lines: dict[str, int] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """So much is wrong that nothing more is read."""
        return len(self.faults) >= MOST_FAULTS

    @property
    def model(self) -> str | None:
        """Every line's model; None when they differ."""
        return next(iter(self.models)) if len(self.models) == 1 else None

    def next(self, source: BinaryIO) -> bytes | None:
        """The next line of the file as a line of the plan; empty for a blank or a wrong one, None at the end."""
        raw = source.readline(MOST_LINE_BYTES + 1)
        if not raw or self.over:
            self._end()
            return None
        self.number += 1
        if self.number == 1:
            raw = raw.removeprefix(_BOM)
        try:
            return self._read(raw)
        except FaultError as fault:
            fault.line = self.number
            self.faults.append(fault)
        if len(raw) > MOST_LINE_BYTES or self.total >= MOST_LINES or self.number > MOST_WITH_BLANKS:
            source.seek(0, 2)  # what follows would only repeat this fault
        return b""

    def _read(self, raw: bytes) -> bytes:
        if self.number > MOST_WITH_BLANKS:
            raise FaultError("too_many_lines", f"a file has at most {MOST_WITH_BLANKS:,} lines, blank ones among them")
        if raw.isspace():
            return b""
        if len(raw) > MOST_LINE_BYTES:
            raise FaultError("line_too_long", f"the line has more than {MOST_LINE_BYTES // (1024 * 1024)} MB")
        if self.total >= MOST_LINES:
            raise FaultError("too_many_lines", f"a batch has at most {MOST_LINES:,} lines")
        line = _parsed(raw)
        custom_id = self._custom_id(line)
        wanted = self._priced(line, custom_id)
        self.total += 1
        self.bound_micros += wanted.bound_micros
        self.models.add(wanted.model)
        return planned(wanted)

    def _custom_id(self, line: dict[str, Any]) -> str:
        custom_id = line.get("custom_id")
        if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MOST_CUSTOM_ID:
            message = f"custom_id must be a string of 1 to {MOST_CUSTOM_ID} characters"
            raise FaultError("missing_custom_id" if custom_id is None else "invalid_custom_id", message, "custom_id")
        first = self._lines.setdefault(custom_id, self.number)
        if first != self.number:
            raise FaultError("duplicate_custom_id", f"custom_id {custom_id!r} is already on line {first}", "custom_id")
        return custom_id

    def _priced(self, line: dict[str, Any], custom_id: str) -> Priced:
        if not line.keys() <= _KNOWN:
            name = min(line.keys() - _KNOWN)[:100]
            raise FaultError("unknown_field", f"{name}: unknown field; a line has custom_id, method, url, body", name)
        if line.get("method") != "POST":
            raise FaultError("invalid_method", "method must be POST", "method")
        type = self._type(line)
        body = line.get("body")
        if not isinstance(body, dict):
            raise FaultError("invalid_body", "body must be an object", "body")
        try:
            submission = read_submission(type, body, at="body.")
            made = quote.offers(submission, catalogue(), test=self.test, at="body.")
        except FusionError as error:
            raise FaultError("invalid_request", error.message, error.param) from None
        return priced(submission, made, custom_id)

    def _type(self, line: dict[str, Any]) -> JobType:
        url = line.get("url")
        type = TYPES.get(url) if isinstance(url, str) else None
        if type is None:
            raise FaultError("invalid_url", f"url must be one of {', '.join(TYPES)}", "url")
        if self.endpoint is not None and TYPES[self.endpoint] != type:
            raise FaultError("mismatched_url", f"url is {url}, the batch's endpoint is {self.endpoint}", "url")
        return type

    def _end(self) -> None:
        if not self.total and not self.faults:
            self.faults.append(FaultError("empty_file", "the file has no lines"))


def planned(wanted: Priced) -> bytes:
    """A line of a plan: JSON texts have neither tabs nor line ends of their own."""
    texts = (wanted.type, wanted.provider, str(wanted.bound_micros), wanted.labels or "", wanted.offers, wanted.request)
    return b"%s\t%s\t%s\n" % (orjson.dumps(wanted.custom_id), orjson.dumps(wanted.model), "\t".join(texts).encode())


def unplanned(line: bytes) -> Priced:
    """The same line again."""
    custom_id, model, type, provider, bound, labels, offers, request = line.decode().rstrip("\n").split("\t")
    return Priced(
        type,  # type: ignore[arg-type]
        orjson.loads(model),
        provider,
        int(bound),
        request,
        offers,
        labels or None,
        orjson.loads(custom_id),
    )


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        strict_json.check_structure(raw)
        line = strict_json.loads(raw, what="the line")
    except InvalidRequest as error:
        raise FaultError("invalid_json_line", error.message) from None
    except FusionError as error:
        raise FaultError("line_too_long", error.message) from None
    if not isinstance(line, dict):
        raise FaultError("invalid_json_line", "the line is not a JSON object")
    return line
