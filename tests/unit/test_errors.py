"""One function makes every error object, byte for byte what it always was; another reads back what is stored."""

import re
from pathlib import Path

import pytest

from shared.errors import FusionError, InternalError, InvalidRequest, Timeout, UpstreamError, WorkerLost, from_json
from shared.strict_json import dumps

ROOT = Path(__file__).parents[2]


def test_what_is_stored() -> None:
    assert dumps(UpstreamError("no", reason="retries_exhausted").as_json()) == (
        '{"message":"no","type":"upstream_error","code":502,"reason":"retries_exhausted"}'
    )
    assert dumps(InvalidRequest("too hot", param="temperature", reason="invalid_value").as_json()) == (
        '{"message":"too hot","type":"invalid_request","code":400,"reason":"invalid_value","param":"temperature"}'
    )
    assert dumps(WorkerLost("gone").as_json()) == '{"message":"gone","type":"worker_lost","code":500}'


def test_what_is_answered() -> None:
    full = InvalidRequest("too hot", param="temperature", reason="invalid_value")
    full.details = {"jobs": 2}
    assert dumps(full.as_json("req_1")) == (
        '{"message":"too hot","type":"invalid_request","code":400,"request_id":"req_1",'
        '"param":"temperature","reason":"invalid_value","jobs":2}'
    )


@pytest.mark.parametrize(
    "error", [InvalidRequest("a", param="x", reason="r"), InternalError("b"), UpstreamError("c"), Timeout("d")]
)
def test_what_is_stored_is_read_back(error: FusionError) -> None:
    read = from_json(error.as_json())
    assert type(read) is type(error) and read.as_json() == error.as_json()


def test_errors_that_are_known_by_their_status_alone() -> None:
    assert type(from_json(WorkerLost("gone").as_json())) is InternalError
    assert type(from_json({"message": "teapot", "type": "new", "code": 418})) is InternalError


def test_nobody_makes_an_error_object_by_hand() -> None:
    made = re.compile(r'\{\s*"message":[^{}]*"type":[^{}]*"code":')
    for package in ("producer", "workers", "shared"):
        for path in (ROOT / package).rglob("*.py"):
            own = path == ROOT / "shared/errors.py"
            if not own and path.parts[-2] not in ("simulator", "cli"):  # these have errors of their own
                source = re.sub(r"^ *>>>.*$", "", path.read_text(), flags=re.M)
                assert made.search(source) is None, path
