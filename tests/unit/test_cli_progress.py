"""How a batch's progress is told: its own counts, what it waits for, the pace since one began to look."""

from typing import Any

import httpx
import pytest

from producer import progress
from producer.commands.follow import Targets, follow
from producer.progress import Pace, Tally
from shared import clock
from tests.unit.test_cli_client import BUSY, Script


def look(status: str, completed: int = 0, failed: int = 0, total: int = 0) -> dict[str, Any]:
    counts = {"total": total, "completed": completed, "failed": failed}
    times = {"completed_at": 9, "expired_at": None, "cancelled_at": None, "created_at": 5}
    return {"id": "batch_1", "status": status, "request_counts": counts, "credits_used": 1.5, **times}


def followed(*answers: httpx.Response | Exception) -> list[Tally]:
    seen: list[Tally] = []
    with Script(*answers).client() as client:
        follow(client, "batch_1", seen.append, lines=4)
    return seen


def test_a_batch_is_told_with_what_it_waits_for_and_when_the_api_is_away() -> None:
    answers = [
        look("validating"),
        look("in_progress", 1, 1, 4),
        look("finalizing", 3, 1, 4),
        look("completed", 3, 1, 4),
    ]
    first, *rest = [httpx.Response(200, json=answer) for answer in answers]
    seen = followed(first, httpx.ConnectError("no"), httpx.Response(503, json=BUSY), *rest)
    assert [(tally.done, tally.total, tally.phase) for tally in seen] == [
        (0, 4, "validating"),
        (0, 4, "the API cannot be reached; trying again"),
        (0, 4, "the API is busy; trying again"),
        (2, 4, ""),
        (4, 4, "finalizing"),
        (4, 4, ""),
    ]
    assert seen[-1].failed == 1


def test_a_line_says_how_it_stands() -> None:
    assert progress.line(Tally(1000, 200, 3, 1.5), 40.0) == "200/1,000 done, 40/s, 20 s left, 1.5 credits, 3 failed"
    assert progress.line(Tally(1000, phase="validating"), 0.0) == "0/1,000 done, 0.0/s, 0 credits, validating"


def test_the_pace_counts_what_was_done_since_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    pace = Pace()
    now = 50.0
    pace(Tally(1000, 900))
    now = 60.0
    assert pace(Tally(1000, 1000)) == 10.0


@pytest.mark.parametrize(
    ("output", "errors"),
    [
        ("x.out.jsonl", "x.errors.jsonl"),
        ("x.jsonl", "x.errors.jsonl"),
        ("x", "x.errors.jsonl"),
        ("batch_1.out.jsonl", "batch_1.errors.jsonl"),
    ],
)
def test_errors_are_written_beside_the_output(output: str, errors: str, tmp_path: Any) -> None:
    assert Targets.of(tmp_path / output).errors == tmp_path / errors
