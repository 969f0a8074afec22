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
    """A deleted file."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class RequestCounts(BaseModel):
    """Number of lines of a batch; `failed` counts every finished line that did not succeed."""

    total: Count
    completed: Count
    failed: Count


class Fault(BaseModel):
    """An error in the lines of a batch; `line` starts at 1. The credit fields come with `insufficient_credits`."""

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
    """The first hundred errors in the lines of a batch."""

    object: Literal["list"]
    data: list[Fault]


class BatchUsage(BaseModel):
    """The tokens of a batch so far. Details are sums of what providers reported, absent if none did.

    `estimated`: the tokens of some lines were counted by FusionAI, because the provider did not report them.
    """

    input_tokens: Count
    input_tokens_details: PromptDetails = PromptDetails()
    output_tokens: Count
    output_tokens_details: CompletionDetails = CompletionDetails()
    total_tokens: Count
    estimated: Literal[True] = True


class Batch(BaseModel):
    """OpenAI's batch object, with additional fields: credits, invoice, `notify_each`, `priority`, `retry_of`."""

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
    """Lines of one provider. `waiting_for`: why most waiting lines wait; `until`: when the first of them is retried."""

    provider: str
    total: Count
    completed: Count
    failed: Count
    running: Count
    waiting: Count
    waiting_for: str | None
    until: Time | None


class Reason(BaseModel):
    """A reason for which `count` lines failed, with the first message. POST /batches/{id}/retry accepts `reason`."""

    reason: str
    status_code: int | None
    model: str | None
    count: Count
    message: str


class BatchProgress(BaseModel):
    """The progress of a batch, at most one second old. `providers` counts the lines that have become jobs."""

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
    """How many credits are missing. The balance covers `max_tokens` per line, or the first `fitting_jobs` lines."""

    message: str
    required_credits: Credits
    available_credits: Credits
    held_credits: Credits
    held_by_jobs: Count = 0
    max_tokens: Count = 0
    jobs: Count = 0
    fitting_jobs: Count = 0


class DryRun(BaseModel):
    """What a batch would contain and its maximum cost; nothing was created."""

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
