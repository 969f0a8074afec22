"""Reads a JSONL file of jobs: OpenAI batch lines or native jobs, checked whole before anything is sent. Pure."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: The endpoint of a batch line (without /v1) → the type of its job.
ENDPOINTS = {
    "/chat/completions": "chat.completion",
    "/embeddings": "embedding",
    "/images": "image",
    "/images/generations": "image",
}
TYPES = tuple(sorted(set(ENDPOINTS.values())))
#: So many wrong lines are listed.
MAX_PROBLEMS = 100
#: Jobs a request, and bytes of jobs a request (the server takes 50 MB).
CHUNK_JOBS, CHUNK_BYTES = 500, 20_000_000
#: Part of every idempotency key: a change of how lines become jobs must change it.
_FORMAT = "submit-1"


@dataclass(frozen=True)
class Line:
    """One job of the file."""

    number: int
    custom_id: str | None
    job: dict[str, Any]
    size: int


@dataclass(frozen=True)
class Problem:
    """A line that cannot be sent, and why."""

    number: int
    reason: str


def parse(source: Iterable[bytes]) -> tuple[list[Line], list[Problem]]:
    """The lines of a file and what is wrong with it (at most MAX_PROBLEMS). Empty lines are skipped."""
    lines: list[Line] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for number, raw in enumerate(source, start=1):
        if not raw.strip():
            continue
        try:
            line = _read(number, raw)
            if line.custom_id is not None:
                if (first := seen.setdefault(line.custom_id, number)) != number:
                    raise ValueError(f"custom_id {line.custom_id!r} is already on line {first}")
            lines.append(line)
        except ValueError as error:
            problems.append(Problem(number, str(error)))
            if len(problems) == MAX_PROBLEMS:
                break
    return lines, problems


def chunks(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """The lines in groups that fit a request; the same file is always cut in the same places."""
    chunk: list[Line] = []
    size = 0
    for line in lines:
        if chunk and (len(chunk) == CHUNK_JOBS or size + line.size > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += line.size
    if chunk:
        yield chunk


def idempotency_key(content_hash: str, chunk: int, *, scope: str, salt: str = "") -> str:
    """The key under which a chunk is sent: the same file, chunk, scope and salt give the same key.

    `scope` tells apart what must not share an answer on one account: live and test keys. The account itself is told
    apart by the server.
    """
    text = "\0".join((_FORMAT, content_hash, str(chunk), scope, salt))
    return f"{_FORMAT}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _read(number: int, raw: bytes) -> Line:
    try:
        value = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    custom_id = value.get("custom_id")
    if custom_id is not None and not (isinstance(custom_id, str) and custom_id):
        raise ValueError("custom_id must be a string that is not empty")
    job = _of_batch_line(value) if "body" in value or "url" in value else _native(value)
    if custom_id is not None:
        job["metadata"] = {**_metadata(job), "custom_id": custom_id}
    return Line(number, custom_id, job, len(raw))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"not JSON: {name}")


def _of_batch_line(value: dict[str, Any]) -> dict[str, Any]:
    for name in ("custom_id", "url", "body"):
        if name not in value:
            raise ValueError(f"{name} is missing")
    if value.get("method", "POST") != "POST":
        raise ValueError(f"method must be POST, not {value['method']!r}")
    url = value["url"]
    if not isinstance(url, str) or (type := ENDPOINTS.get(url.removeprefix("/v1"))) is None:
        raise ValueError(f"url {url!r} is none of {', '.join('/v1' + path for path in ENDPOINTS)}")
    body = value["body"]
    if not isinstance(body, dict):
        raise ValueError("body must be an object")
    return _with_model({**body, "type": type}, "body.")


def _native(value: dict[str, Any]) -> dict[str, Any]:
    if "type" not in value:
        raise ValueError("neither a batch line (custom_id, url, body) nor a job: type is missing")
    if value["type"] not in TYPES:
        raise ValueError(f"type {value['type']!r} is none of {', '.join(TYPES)}")
    return _with_model({name: part for name, part in value.items() if name != "custom_id"}, "")


def _with_model(job: dict[str, Any], where: str) -> dict[str, Any]:
    if not (isinstance(job.get("model"), str) and job["model"]):
        raise ValueError(f"{where}model is missing")
    return job


def _metadata(job: dict[str, Any]) -> dict[str, Any]:
    metadata = job.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise ValueError("metadata must be an object")
    return metadata
