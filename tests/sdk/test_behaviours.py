"""The table of behaviours, passed by the two clients of the Python SDK; and what the harness finds wrong."""

import json
import sys
from pathlib import Path

import pytest

from tests.sdk import checks
from tests.sdk.harness import API_KEY, failures
from tests.sdk.scripted import Seen
from tests.sdk.table import Case, cases

RUNNER = "tests.sdk.python_runner"


@pytest.mark.parametrize("client", ["sync", "async"])
def test_the_python_sdk_passes_the_table(client: str) -> None:
    assert failures([sys.executable, "-m", RUNNER, client]) == {}


def test_a_runner_that_says_nothing_of_a_case_fails_it(tmp_path: Path) -> None:
    silent = tmp_path / "runner.py"
    silent.write_text('print(\'{"name": "another"}\')')
    assert failures([sys.executable, str(silent)], "chat-plain") == {
        "chat-plain": ["the runner wrote nothing about it"]
    }


def test_names_of_cases_are_their_own() -> None:
    names = [case["name"] for case in cases()]
    assert len(set(names)) == len(names) > 150


GIVEN: Case = {
    "seen": {"requests": [{"method": "POST", "path": "/jobs", "headers": {"idempotency-key": {"same": "k"}}}] * 2},
    "outcome": {"error": {"kind": "status", "message": {"matches": "busy"}}},
}
BUSY = {"error": {"kind": "status", "message": "it is busy"}}


def seen(key: str | None = "a", *, method: str = "POST", body: object = None, token: str = API_KEY) -> Seen:
    headers = {"authorization": f"Bearer {token}"} | ({} if key is None else {"idempotency-key": key})
    return Seen(method, "/jobs", {}, headers, json.dumps(body).encode(), 0.0)


@pytest.mark.parametrize(
    "outcome, requests, wrong",
    [
        (BUSY, [seen(), seen()], []),
        ({"error": {"kind": "timeout", "message": "it is busy"}}, [seen(), seen()], ["error kind is 'timeout'"]),
        ({"value": {}}, [seen(), seen()], ["the call did not fail"]),
        (BUSY, [seen()], ["1 requests were seen, not 2"]),
        (BUSY, [seen(), seen("b")], ["idempotency-key is 'b', not 'a'"]),
        (BUSY, [seen(None), seen()], ["idempotency-key is None"]),
        (BUSY, [seen(), seen(method="PUT")], ["PUT /jobs instead of POST /jobs"]),
        (BUSY, [seen(), seen(body=1)], ["another body under the same Idempotency-Key"]),
        (BUSY, [seen(), seen(token="x")], ["without the key"]),
    ],
)
def test_what_is_wrong_is_found(outcome: Case, requests: list[Seen], wrong: list[str]) -> None:
    found = checks.faults(GIVEN, outcome, requests, API_KEY)
    assert len(found) == len(wrong) and all(part in said for part, said in zip(wrong, found, strict=True))
