"""What is wrong with an outcome, and with what the server saw, by what a case says."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.sdk.scripted import Seen
from tests.sdk.table import Case

Faults = Iterator[str]

#: Nothing is there.
_ABSENT = object()
#: A batch whose file was gone is asked for again, of another file and under its own key: a refusal takes no key.
_REFUSED = "/batches"
#: A clock may tick a little early.
_TICK_SECONDS = 0.02


def faults(case: Case, outcome: Mapping[str, Any], seen: Sequence[Seen], api_key: str) -> list[str]:
    """Everything that is not as the case says; nothing: it passes."""
    return [*_outcome(case["outcome"], outcome), *_requests(case.get("seen", {}), seen), *_always(seen, api_key)]


def keys(seen: Sequence[Seen]) -> set[str]:
    """The Idempotency-Keys of requests."""
    return {request.headers["idempotency-key"] for request in seen if "idempotency-key" in request.headers}


def _outcome(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Faults:
    if "error" in found and "error" not in expected:
        yield f"the call failed: {found['error']}"
    if "error" in expected and "error" not in found:
        yield f"the call did not fail: {json.dumps(found)[:300]}"
    for part in ("error", "value"):
        if part in expected and (part == "value" or part in found):
            yield from _fields(part, expected[part], found.get(part))
    if "text" in expected and found.get("text", _ABSENT) != expected["text"]:
        yield f"text is {found.get('text')!r}, not {expected['text']!r}"


def _requests(expected: Mapping[str, Any], seen: Sequence[Seen]) -> Faults:
    if "requests" not in expected:
        return
    wanted: Sequence[Mapping[str, Any]] = expected["requests"]
    if expected.get("others"):
        seen = _among(wanted, seen)
    if len(seen) != len(wanted):
        yield f"{len(seen)} requests were seen, not {len(wanted)}: {[f'{one.method} {one.path}' for one in seen]}"
        return
    names: dict[str, str] = {}
    for number, (want, request) in enumerate(zip(wanted, seen, strict=True)):
        for fault in _request(want, request, names, seen[number - 1] if number else None):
            yield f"request {number + 1}: {fault}"


def _among(wanted: Sequence[Mapping[str, Any]], seen: Sequence[Seen]) -> list[Seen]:
    """The requests that can be meant, in order, among all of them."""
    found, left = [], iter(seen)
    for want in wanted:
        match = next((request for request in left if _is_to(want, request)), None)
        if match is None:
            break
        found.append(match)
    return found


def _is_to(want: Mapping[str, Any], request: Seen) -> bool:
    paths = [want["path"]] if isinstance(want["path"], str) else want["path"]
    return request.method == want["method"] and request.path in paths


def _request(want: Mapping[str, Any], request: Seen, names: dict[str, str], before: Seen | None) -> Faults:
    if not _is_to(want, request):
        yield f"{request.method} {request.path} instead of {want['method']} {want['path']}"
        return
    for name, expected in want.get("headers", {}).items():
        yield from _header(name, expected, request.headers.get(name), names)
    yield from _fields("query", want.get("query", {}), {**request.query}, nested=False)
    if "body" in want:
        yield from _fields("body", want["body"], _json(request.body))
    for text in want.get("contains", []):
        if text not in request.body.decode(errors="replace"):
            yield f"its body does not contain {text!r}"
    yield from _lines(want.get("lines", []), request.body)
    if before is not None and request.at - before.at < want.get("after_seconds", 0) - _TICK_SECONDS:
        yield f"came {request.at - before.at:.3f} s after the one before, not {want['after_seconds']} s or more"


def _lines(wanted: Sequence[Mapping[str, Any]], body: bytes) -> Faults:
    """The lines of JSON in an upload."""
    found = [value for line in body.splitlines() if isinstance(value := _json(line), dict)]
    if wanted and len(found) != len(wanted):
        yield f"its file has {len(found)} lines, not {len(wanted)}"
    for number, (want, line) in enumerate(zip(wanted, found, strict=False), 1):
        yield from _fields(f"line {number}", want, line)


def _header(name: str, expected: Any, found: str | None, names: dict[str, str]) -> Faults:
    value: Any = _ABSENT if found is None else found
    if isinstance(expected, dict) and "same" in expected:
        if found is None or names.setdefault(expected["same"], found) != found:
            yield f"{name} is {found!r}, not {names.get(expected['same'], 'there')!r}"
    elif isinstance(expected, dict) and "seconds" in expected:
        stated = re.fullmatch(r"wait=([0-9]+(?:\.[0-9]+)?)", found or "")
        if stated is None or float(stated[1]) != expected["seconds"]:
            yield f"{name} is {found!r}, not wait={expected['seconds']}"
    elif not _is(_ABSENT if expected is None else expected, value):
        yield f"{name} is {found!r}, not {expected!r}"


def _fields(where: str, expected: Mapping[str, Any], found: Any, *, nested: bool = True) -> Faults:
    for path, value in expected.items():
        there = _at(found, path.split(".") if nested else [path])
        wanted = _ABSENT if value is None and not nested else value
        if not _is(wanted, there):
            yield f"{where} {path} is {'absent' if there is _ABSENT else repr(there)}, not {value!r}"


def _is(expected: Any, found: Any) -> bool:
    """Whether a value is as a case says: itself, or one of the forms."""
    if isinstance(expected, dict) and "absent" in expected:
        return found is _ABSENT or found is None
    if expected == "*":
        return bool(found is not _ABSENT and found)
    if isinstance(expected, dict) and "matches" in expected:
        return isinstance(found, str) and re.search(expected["matches"], found) is not None
    if isinstance(expected, dict) and "ends" in expected:
        return isinstance(found, list) and found[-len(expected["ends"]) :] == expected["ends"]
    return bool(found == expected)


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        if isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            return _ABSENT
    return value


def _always(seen: Sequence[Seen], api_key: str) -> Faults:
    """What holds of every request."""
    bodies: dict[str, Any] = {}
    for request in seen:
        if request.headers.get("authorization") != f"Bearer {api_key}":
            yield f"{request.method} {request.path} without the key: {request.headers.get('authorization')!r}"
        key = request.headers.get("idempotency-key")
        if key is None:
            continue
        if request.method == "GET":
            yield f"GET {request.path} has an Idempotency-Key"
        elif request.path != _REFUSED and bodies.setdefault(key, _json(request.body)) != _json(request.body):
            yield f"{request.method} {request.path}: another body under the same Idempotency-Key"


def _json(body: bytes) -> Any:
    """The value of a body; None where it is not JSON, as a form."""
    try:
        return json.loads(body)
    except ValueError:
        return None
