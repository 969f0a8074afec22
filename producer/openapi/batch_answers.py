"""The objects of batches and their files that the API answers with; OpenAI's, and what is ours in them."""

from typing import Literal

from pydantic import BaseModel

from producer.openapi.answers import CompletionDetails, Count, Credits, Labels, PromptDetails, Time


class File(BaseModel):
    """OpenAI's file object."""

    id: str
    object: Literal["file"]
    bytes: Count
    created_at: Time
    expires_at: Time | None
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"]
    status_details: str | None


class DeletedFile(BaseModel):
    """A file that is no more."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class RequestCounts(BaseModel):
    """Lines of a batch; `failed` are all that ended otherwise than succeeded."""

    total: Count
    completed: Count
    failed: Count


class Fault(BaseModel):
    """One thing that is wrong with a batch's lines; `line` is counted from 1. The rest: of `insufficient_credits`."""

    code: str
    line: int | None
    message: str
    param: str | None
    required_credits: Credits = 0
    available_credits: Credits = 0
    held_credits: Credits = 0
    held_by_jobs: Count = 0
    max_tokens: Count = 0
    jobs: Count = 0
    fitting_jobs: Count = 0


class Faults(BaseModel):
    """What is wrong with a batch's lines, the first hundred."""

    object: Literal["list"]
    data: list[Fault]


class BatchUsage(BaseModel):
    """The tokens of a batch so far; details are the sums of what providers told, absent when none did.

    `estimated`: some lines' tokens were counted here, because their providers did not tell.
    """

    input_tokens: Count
    input_tokens_details: PromptDetails = PromptDetails()
    output_tokens: Count
    output_tokens_details: CompletionDetails = CompletionDetails()
    total_tokens: Count
    estimated: Literal[True] = True


class Batch(BaseModel):
    """OpenAI's batch object, and what is ours: credits, invoice, `notify_each`, `priority`, `retry_of`."""

    id: str
    object: Literal["batch"]
    endpoint: str | None
    model: str | None
    errors: Faults | None
    input_file_id: str
    completion_window: str
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: Time
    in_progress_at: Time | None
    expires_at: Time | None
    finalizing_at: Time | None
    completed_at: Time | None
    failed_at: Time | None
    expired_at: Time | None
    cancelling_at: Time | None
    cancelled_at: Time | None
    request_counts: RequestCounts
    metadata: Labels | None
    usage: BatchUsage | None
    credits_used: Credits
    credits_held: Credits
    invoice_id: str | None
    notify_each: bool
    priority: int
    #: The batch whose failed and expired lines this one repeats.
    retry_of: str | None


class ProviderProgress(BaseModel):
    """One provider's lines; `waiting_for`: why most of those that wait do, `until`: when the first is tried again."""

    provider: str
    total: Count
    completed: Count
    failed: Count
    running: Count
    waiting: Count
    waiting_for: str | None
    until: Time | None


class Reason(BaseModel):
    """Why so many lines did not succeed; `message` is that of the first. POST /batches/{id}/retry takes `reason`."""

    reason: str
    status_code: int | None
    model: str | None
    count: Count
    message: str


class BatchProgress(BaseModel):
    """How a batch is getting on, at most a second old; `providers` have the lines that have become jobs."""

    object: Literal["batch.progress"]
    batch_id: str
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    request_counts: RequestCounts
    providers: list[ProviderProgress]
    reasons: list[Reason]
    credits_used: Credits
    created_at: Time
    finished_at: Time | None


class Shortage(BaseModel):
    """What the account lacks; `max_tokens` in each line would do, or the first `fitting_jobs` lines alone."""

    message: str
    required_credits: Credits
    available_credits: Credits
    held_credits: Credits
    held_by_jobs: Count = 0
    max_tokens: Count = 0
    jobs: Count = 0
    fitting_jobs: Count = 0


class DryRun(BaseModel):
    """What a batch would be, and cost at most; nothing was created."""

    object: Literal["batch.dry_run"]
    valid: bool
    errors: Faults | None
    endpoint: str | None
    model: str | None
    request_counts: RequestCounts
    credits_worst_case: Credits
    #: Null for a test key, which costs nothing.
    credits_available: Credits | None
    shortage: Shortage | None
