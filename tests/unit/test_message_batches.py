"""Message batches made of batches' rows: states, counts, results of those that were never read; without a server."""

from typing import Any

import orjson
import pytest

from producer.dialects.messages import batch_making, batch_objects, batch_results, pages
from producer.dialects.messages.pages import PageAsked
from shared.errors import InvalidRequest

MICROS = 1_000_000
ROW: dict[str, Any] = {
    "id": "batch_1",
    "status": "in_progress",
    "requests": 3,
    "total": 3,
    "succeeded": 1,
    "failed": 0,
    "cancelled": 0,
    "expired": 0,
    "errors": None,
    "created_at": 1_764_000_000 * MICROS,
    "expires_at": 1_764_086_400 * MICROS,
    **{f"{name}_at": None for name in ("completed", "failed", "expired", "cancelled", "cancelling")},
}


def shown(**changes: Any) -> Any:
    """The message batch of such a row."""
    return batch_objects.message_batch({**ROW, **changes}, "https://a.example/results", None)


@pytest.mark.parametrize(
    ("changes", "status", "counts"),
    [
        ({}, "in_progress", (3, 0, 0, 0, 0)),
        ({"status": "validating", "total": 0, "succeeded": 0}, "in_progress", (3, 0, 0, 0, 0)),
        ({"status": "finalizing"}, "in_progress", (3, 0, 0, 0, 0)),
        ({"status": "cancelling"}, "canceling", (3, 0, 0, 0, 0)),
        ({"status": "completed", "succeeded": 2, "failed": 1, "completed_at": MICROS}, "ended", (0, 2, 1, 0, 0)),
        ({"status": "cancelled", "cancelled": 2, "cancelled_at": MICROS}, "ended", (0, 1, 0, 2, 0)),
        ({"status": "cancelled", "total": 0, "succeeded": 0, "cancelled_at": MICROS}, "ended", (0, 0, 0, 3, 0)),
        ({"status": "expired", "expired": 1, "failed": 1, "expired_at": MICROS}, "ended", (0, 1, 1, 0, 1)),
        ({"status": "failed", "total": 0, "succeeded": 0, "failed_at": MICROS}, "ended", (0, 0, 3, 0, 0)),
    ],
)
def test_states_and_counts(changes: dict[str, Any], status: str, counts: tuple[int, ...]) -> None:
    made = shown(**changes)
    assert made["processing_status"] == status
    assert tuple(made["request_counts"].values()) == counts and sum(counts) == 3
    assert (made["ended_at"], made["results_url"]) == (
        ("1970-01-01T00:00:01.000000Z", "https://a.example/results") if status == "ended" else (None, None)
    )
    assert made["created_at"] == "2025-11-24T16:00:00.000000Z" and made["archived_at"] is None


def test_results_that_are_no_longer_kept() -> None:
    row = {**ROW, "status": "completed", "completed_at": MICROS}
    made = batch_objects.message_batch(row, "https://a.example/results", 2 * MICROS)
    assert made["archived_at"] == "1970-01-01T00:00:02.000000Z" and made["results_url"] is None


def unread(status: str, *faults: dict[str, Any]) -> list[Any]:
    """The results of two requests of a batch that was never read."""
    row = {**ROW, "status": status, "errors": orjson.dumps(faults).decode() if faults else None}
    dress = batch_results._unread(row)
    return [dress(b'{"custom_id": "%s"}\n' % name, at)["result"] for at, name in enumerate((b"a", b"b"))]


def test_requests_of_a_batch_that_was_never_read() -> None:
    assert [one["type"] for one in unread("cancelled")] == ["canceled", "canceled"]
    assert [one["type"] for one in unread("expired")] == ["expired", "expired"]
    poor = {"code": "insufficient_credits", "line": None, "message": "too little", "param": None, "jobs": 2}
    first, second = unread("failed", poor)
    assert first == second == {
        "type": "errored",
        "error": {
            "type": "error",
            "error": {"type": "billing_error", "message": "requests: too little"},
            "request_id": "batch_1",
        },
    }  # fmt: skip
    wrong = {"code": "invalid_request", "line": 2, "message": "body.model: unknown", "param": "body.model"}
    first, second = unread("failed", wrong)
    assert second["error"]["error"]["message"] == "requests[1].params.model: unknown"
    assert "because another request of the batch is invalid: requests[1].params" in first["error"]["error"]["message"]


def test_faults_of_lines_are_named_as_they_were_sent() -> None:
    doubled = {
        "code": "x",
        "line": 9,
        "message": "duplicate custom_id 'a': already used on line 3",
        "param": "custom_id",
    }
    error = batch_making.refusal([doubled, doubled])
    assert error.param == "requests[8].custom_id"
    assert error.message == ("requests[8].custom_id: duplicate custom_id 'a': already used in requests[2] (and 1 more)")
    large = {"code": "line_too_long", "line": 1, "message": "line is larger than 20 MB", "param": None}
    assert batch_making.as_sent(large) == ("requests[0]", "requests[0]: line is larger than 20 MB")


def test_pages_of_what_is_at_hand() -> None:
    every: list[Any] = [{"id": id} for id in "abcde"]

    def ids(**asked: Any) -> tuple[str, bool]:
        page = pages.of_known(every, PageAsked(**asked))
        return "".join(one["id"] for one in page["data"]), page["has_more"]

    assert ids() == ("abcde", False) and ids(limit=2) == ("ab", True)
    assert ids(limit=2, after_id="b") == ("cd", True) and ids(limit=2, after_id="c") == ("de", False)
    assert ids(limit=2, before_id="d") == ("bc", True) and ids(limit=2, before_id="c") == ("ab", False)
    assert ids(before_id="a") == ("", False)
    with pytest.raises(InvalidRequest):
        ids(after_id="x")
