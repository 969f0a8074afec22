"""Reads a JSONL file of work: OpenAI batch lines or native jobs, checked whole before anything is sent. Pure."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from shared.batches import line_files
from shared.batches.line_files import FaultError
from shared.submissions import sizes
from shared.submissions.job_types import ENDPOINTS, URLS

#: The most wrong lines that are listed.
MAX_PROBLEMS = sizes.MOST_FAULTS
#: The limits of a batch.
MAX_LINES = sizes.MOST_LINES
MAX_CUSTOM_ID = sizes.MOST_CUSTOM_ID
#: Part of every idempotency key.
_FORMAT = "submit-2"


@dataclass(frozen=True)
class Line:
    """A line of the file as a batch line, without its line end; None where it is empty."""

    number: int
    batch_line: bytes | None


@dataclass(frozen=True)
class Problem:
    """A line that cannot be sent, or (None) the whole file, and why."""

    number: int | None
    reason: str


def parse(source: Iterable[bytes]) -> Iterator[Line | Problem]:
    """Every line of a file, with its number, as a batch line or as what is wrong with it; ends at MAX_PROBLEMS."""
    try:
        yield from _parsed(line_files.lines(source))
    except FaultError as fault:
        yield Problem(None, fault.message)


def _parsed(lines: Iterable[bytes]) -> Iterator[Line | Problem]:
    seen: dict[str, int] = {}
    problems, reported = 0, False
    for number, raw in enumerate(lines, start=1):
        try:
            yield _read(number, raw, seen)
        except FaultError as fault:  # of the encoding, which is reported once
            yield Line(number, None) if reported else Problem(number, fault.message)
            problems, reported = problems + (not reported), True
        except ValueError as error:
            yield Problem(number, str(error))
            problems += 1
        if problems == MAX_PROBLEMS:
            return


def idempotency_key(content_hash: str, purpose: str, *, scope: str, salt: str = "") -> str:
    """The key under which a file, or its batch, is made: the same content, purpose, scope and salt give the same key.

    `scope` tells apart what must not share an answer on one account: live and test keys. The server itself keeps
    accounts apart.
    """
    text = "\0".join((_FORMAT, content_hash, purpose, scope, salt))
    return f"{_FORMAT}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _read(number: int, raw: bytes, seen: dict[str, int]) -> Line:
    raw = raw.strip()
    if not raw:
        return Line(number, None)
    value = _object(raw)
    line = _of_batch_line(value) if "body" in value or "url" in value else _native(value)
    custom_id = line["custom_id"] = _custom_id(value, number)
    if (first := seen.setdefault(custom_id, number)) != number:
        raise ValueError(f"custom_id {custom_id!r} is already on line {first}")
    return Line(number, raw if line == value else json.dumps(line, separators=(",", ":")).encode())


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line_files.decoded(raw), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"not JSON: {name}")


def _custom_id(value: dict[str, Any], number: int) -> str:
    custom_id = value.get("custom_id")
    if custom_id is None:
        return f"line-{number}"
    if not (isinstance(custom_id, str) and 0 < len(custom_id) <= MAX_CUSTOM_ID):
        raise ValueError(f"custom_id must be a string of 1 to {MAX_CUSTOM_ID} characters")
    return custom_id


def _of_batch_line(value: dict[str, Any]) -> dict[str, Any]:
    for name in ("url", "body"):
        if name not in value:
            raise ValueError(f"{name} is missing")
    if value.get("method", "POST") != "POST":
        raise ValueError(f"method must be POST, not {value['method']!r}")
    url = value["url"]
    if not isinstance(url, str) or (whole := f"/v1{url.removeprefix('/v1')}") not in ENDPOINTS:
        raise ValueError(f"url {url!r} is none of {', '.join(ENDPOINTS)}")
    body = value["body"]
    if not isinstance(body, dict):
        raise ValueError("body must be an object")
    _check_model(body, "body.")
    return {**value, "method": "POST", "url": whole}


def _native(value: dict[str, Any]) -> dict[str, Any]:
    if "type" not in value:
        raise ValueError("neither a batch line (custom_id, url, body) nor a job: type is missing")
    if not isinstance(value["type"], str) or value["type"] not in URLS:
        raise ValueError(f"type {value['type']!r} is none of {', '.join(sorted(URLS))}")
    body = {name: part for name, part in value.items() if name not in ("type", "custom_id")}
    _check_model(body, "")
    if not isinstance(body.get("metadata") or {}, dict):
        raise ValueError("metadata must be an object")
    return {"custom_id": None, "method": "POST", "url": URLS[value["type"]], "body": body}


def _check_model(body: dict[str, Any], where: str) -> None:
    if not (isinstance(body.get("model"), str) and body["model"]):
        raise ValueError(f"{where}model is missing")
