"""What objects of batches are made of: the counts of lines, and what is wrong with lines. Pure."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NotRequired, get_args

from typing_extensions import TypedDict

from shared.objects.fields import Count, Credits
from shared.objects.shortages import BudgetFields

BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
#: What the next lines wait for: that the account has enough credit, or that a budget of the API key has room.
WaitingFor = Literal["credits", "budget"]
#: The statuses in which a batch stays.
BATCH_OVER: Final[frozenset[str]] = frozenset(get_args(BatchStatus)) - {
    "validating",
    "in_progress",
    "finalizing",
    "cancelling",
}
#: Those of them in which a batch that began ends; one that is refused is `failed`.
BATCH_FINISHED: Final = BATCH_OVER - {"failed"}
#: What is said of a line that ended without an error of its own.
ENDED_WITHOUT_ANSWER: Final[Mapping[str, str]] = {
    "cancelled": "the request was cancelled before it finished",
    "expired": "the request had not finished when the completion window ended",
}


class RequestCounts(TypedDict):
    """Number of lines of a batch; `failed` counts every finished line that did not succeed."""

    total: Count
    completed: Count
    failed: Count


class Fault(TypedDict):
    """An error in the lines of a batch; `line` starts at 1. Credit fields tell what is lacking."""

    code: str
    line: int | None
    message: str
    param: str | None
    required_credits: NotRequired[Credits]
    available_credits: NotRequired[Credits]
    held_credits: NotRequired[Credits]
    held_by_jobs: NotRequired[Count]
    max_tokens: NotRequired[Count]
    jobs: NotRequired[Count]
    fitting_jobs: NotRequired[Count]
    fits_in_slices: NotRequired[bool]
    #: With `key_budget_exceeded`.
    budget: NotRequired[BudgetFields]


class LineRequest(TypedDict):
    """What a line asked, so that it can be sent again."""

    method: str
    url: str
    body: dict[str, Any]


class LineResponse(TypedDict):
    """`request_id` is the job's id; `body` is what the synchronous call would have answered."""

    status_code: int
    request_id: str
    body: dict[str, Any]


class LineError(TypedDict):
    """Why a line was never answered."""

    code: str
    message: str


class BatchResult(TypedDict):
    """A line of an output or an error file: a response, or an error of a line that was never answered.

    A line of the error file has what it asked; null: that is kept no longer.
    """

    id: str
    custom_id: str | None
    response: LineResponse | None
    error: LineError | None
    request: NotRequired[LineRequest | None]


def ended_lines(row: Mapping[str, Any]) -> int:
    """How many lines of a batch have ended, however."""
    return int(row["succeeded"] + row["failed"] + row["cancelled"] + row["expired"])


def request_counts(row: Mapping[str, Any]) -> RequestCounts:
    """OpenAI's counts; `failed` is whatever ended otherwise than well."""
    completed = int(row["succeeded"])
    return {"total": row["total"], "completed": completed, "failed": ended_lines(row) - completed}


def shown_status(row: Mapping[str, Any]) -> BatchStatus:
    """OpenAI's status of a batch: one that is still to be read has another in its row, if it has a `hold`."""
    status: BatchStatus = row["status"] if row["status"] != "reading" else "validating"
    return status


def waits_for(row: Mapping[str, Any]) -> WaitingFor | None:
    """What a batch waits for before its next lines start."""
    if row["status"] != "in_progress" or row["stopped"] is not None:
        return None
    if row["budget_short_micros"] is not None:
        return "budget"
    return "credits" if row["short_micros"] is not None else None


def waits_until(row: Mapping[str, Any]) -> int | None:
    """When the budget that a batch waits for begins anew, in microseconds; None: never, or it waits for none."""
    return row["budget_until"] if waits_for(row) == "budget" else None
