"""The shapes of the API's objects, as its Python client gives them; times are seconds since the epoch."""

from typing import Any, Literal, NotRequired, TypedDict

Json = dict[str, Any]

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
TERMINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled", "expired"})

BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
BATCH_OVER: frozenset[str] = frozenset({"failed", "completed", "expired", "cancelled"})


class Attempt(TypedDict):
    """One call of a provider: `error` is its code or its message, None when it went well.

    `provider` is None where a worker was lost, and with it what it had called.
    """

    provider: str | None
    model: str
    started_at: int
    finished_at: int | None
    status_code: int | None
    error: str | None


class JobError(TypedDict):
    """Why a job failed; of a provider's fault or refusal `reason` is the short word, `param` the field it names."""

    message: str
    type: str
    code: int
    reason: NotRequired[str]
    param: NotRequired[str]


class Job(TypedDict):
    """A job."""

    id: str
    object: Literal["job"]
    type: str
    status: JobStatus
    model: str
    served_by: Json | None
    batch_id: str | None
    custom_id: str | None
    attempts: list[Attempt]
    created_at: int
    started_at: int | None
    finished_at: int | None
    expires_at: int
    metadata: dict[str, str]
    result: Json | None
    error: JobError | None
    usage: Json | None
    ignored: list[str]
    cancel_requested: bool


class File(TypedDict):
    """A file: what was uploaded, or what a batch has put out."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str
    status_details: str | None


class RequestCounts(TypedDict):
    """Lines of a batch; `failed` are all that ended otherwise than succeeded."""

    total: int
    completed: int
    failed: int


class Fault(TypedDict):
    """One thing that is wrong with a batch's file; `line` is counted from 1."""

    code: str
    line: int | None
    message: str
    param: str | None


class Faults(TypedDict):
    object: Literal["list"]
    data: list[Fault]


class Batch(TypedDict):
    """A batch."""

    id: str
    object: Literal["batch"]
    endpoint: str | None
    model: str | None
    errors: Faults | None
    input_file_id: str
    completion_window: str
    status: BatchStatus
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None
    usage: Json | None
    credits_used: float
    credits_held: float
    invoice_id: str | None
    notify_each: bool
    priority: int
    #: The batch whose failed and expired lines this one repeats.
    retry_of: str | None


class ProviderProgress(TypedDict):
    """What one provider has of a batch; `waiting_for`: why its lines wait, and `until` when, if that is known."""

    provider: str
    total: int
    completed: int
    failed: int
    running: int
    waiting: int
    waiting_for: str | None
    until: int | None


class Reason(TypedDict):
    """Why so many lines of a model failed; `message` is one of theirs.

    `model` is None of lines that never began, where those of the batch differ.
    """

    reason: str
    status_code: int | None
    model: str | None
    count: int
    message: str


class BatchProgress(TypedDict):
    """How a batch is getting on."""

    object: Literal["batch.progress"]
    batch_id: str
    status: BatchStatus
    request_counts: RequestCounts
    providers: list[ProviderProgress]
    reasons: list[Reason]
    credits_used: float
    created_at: int
    finished_at: int | None


class Shortage(TypedDict):
    """What an account lacks for some jobs, and what would do."""

    message: str
    required_credits: float
    available_credits: float
    held_credits: float
    held_by_jobs: NotRequired[int]
    #: The largest limit on tokens with which all of them would fit.
    max_tokens: NotRequired[int]
    jobs: NotRequired[int]
    fitting_jobs: NotRequired[int]


class DryRun(TypedDict):
    """What a batch would be, and cost at most; credits are None where the server was not asked."""

    object: Literal["batch.dry_run"]
    valid: bool
    errors: Faults | None
    endpoint: str | None
    model: str | None
    request_counts: RequestCounts
    credits_worst_case: float | None
    credits_available: float | None
    shortage: NotRequired[Shortage | None]


class BatchOptions(TypedDict, total=False):
    """What a batch may be given beside its lines."""

    endpoint: str | None
    #: `24h`, or any of `1h` to `168h`.
    completion_window: str
    metadata: dict[str, str] | None
    #: Its jobs emit events of their own too.
    notify_each: bool
    #: 0 to 9; a higher one goes first among the account's batches.
    priority: int
    #: `{"anchor": "created_at", "seconds": n}`
    output_expires_after: Json | None


class LineResponse(TypedDict):
    """`request_id` is the job's id; `body` is what the synchronous call would have answered."""

    status_code: int
    request_id: str
    body: Json


class BatchResult(TypedDict):
    """A line of an output or an error file: a response, or an error of a line that was never answered.

    A line of the error file has what it asked, `{"method", "url", "body"}`, so that it can be sent again.
    """

    id: str
    custom_id: str
    response: LineResponse | None
    error: Json | None
    request: NotRequired[Json | None]


class Page(TypedDict):
    """A page of a list; `after=last_id` asks for the next one while `has_more`."""

    object: Literal["list"]
    data: list[Json]
    first_id: str | None
    last_id: str | None
    has_more: bool
