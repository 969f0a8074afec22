"""OpenAI's batch object and what is ours in it, made from a batch's row; its progress, and a dry run. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from shared.clock import MICROS, seconds
from shared.objects.amounts import credits
from shared.objects.batches import BatchStatus, Fault, RequestCounts, request_counts, shown_status, waits_for
from shared.objects.fields import Count, Credits, Labels, Time
from shared.objects.shortages import Estimate, Shortage
from shared.submissions import usage_shown
from shared.submissions.usage_shown import CompletionDetails, PromptDetails


class Faults(TypedDict):
    """The first hundred errors in the lines of a batch."""

    object: Literal["list"]
    data: list[Fault]


class InputTokens(TypedDict):
    """The first half of a batch's usage."""

    input_tokens: Count
    input_tokens_details: NotRequired[PromptDetails]


class OutputTokens(TypedDict):
    """The other half."""

    output_tokens: Count
    output_tokens_details: NotRequired[CompletionDetails]


class Estimated(TypedDict):
    """Counted here, because the provider did not tell."""

    estimated: NotRequired[Literal[True]]


class _Total(TypedDict):
    total_tokens: Count


class BatchUsage(InputTokens, OutputTokens, _Total, Estimated):
    """The tokens of a batch so far. Details are sums of what providers reported, absent if none did.

    `estimated`: the tokens of some lines were counted by FusionAI, because the provider did not report them.
    """


class Batch(TypedDict):
    """OpenAI's batch object, with additional fields: credits, invoice, `notify_each`, `priority`, `retry_of`."""

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
    hold: Annotated[
        Literal["all", "slices"],
        Field(description="`all`: credits are held for all lines at once. `slices`: for those that start next."),
    ]
    waiting_for: Annotated[
        Literal["credits"] | None,
        Field(
            description="`credits`: the next lines start once the account has enough credit. Null: it does not wait."
        ),
    ]
    #: Where the event of its end is sent, beside the webhooks that subscribe it.
    callback_url: str | None


class ProviderProgress(TypedDict):
    """Lines of one provider. `waiting_for`: why most waiting lines wait; `until`: when the first of them is retried."""

    provider: str
    total: Count
    completed: Count
    failed: Count
    running: Count
    waiting: Count
    waiting_for: str | None
    until: Time | None


class Reason(TypedDict):
    """A reason for which `count` lines failed, with the first message. POST /batches/{id}/retry accepts `reason`."""

    reason: str
    status_code: int | None
    #: None of lines that never began, where those of the batch differ.
    model: str | None
    count: Count
    message: str


class BatchErrorExample(TypedDict):
    """The first line of a group of errors."""

    job_id: str
    custom_id: str | None
    model: str | None


class BatchErrorGroup(TypedDict):
    """Lines of a batch that did not succeed for the same reason, with the message of the first of them."""

    reason: Annotated[str, Field(description="POST /batches/{id}/retry takes it in `reasons`.")]
    status_code: int | None
    message: Annotated[str, Field(description="Of the first line; those of the others differ in ids and numbers only.")]
    count: Count
    example: Annotated[BatchErrorExample | None, Field(description="Null: the lines never began.")]
    retry_may_help: Annotated[bool, Field(description="Whether the same request may succeed another time.")]


class BatchErrors(TypedDict):
    """Why lines of a batch did not succeed, the largest group first."""

    object: Literal["batch.errors"]
    batch_id: str
    total: Annotated[int, Field(ge=0, description="Lines that did not succeed so far.")]
    data: list[BatchErrorGroup]
    others: Annotated[int, Field(ge=0, description="Lines of smaller groups, which are not shown.")]


class BatchProgress(TypedDict):
    """The progress of a batch, at most one second old. `providers` counts the lines that have become jobs."""

    object: Literal["batch.progress"]
    batch_id: str
    status: BatchStatus
    request_counts: RequestCounts
    providers: list[ProviderProgress]
    reasons: list[Reason]
    credits_used: Credits
    waiting_for: Annotated[
        Literal["credits"] | None,
        Field(description="`credits`: lines that have not started wait until the account has enough credit."),
    ]
    created_at: Time
    finished_at: Time | None


class Quoted(TypedDict):
    """The part of a dry run that is read from the lines."""

    object: Literal["batch.dry_run"]
    valid: bool
    errors: Faults | None
    endpoint: str | None
    model: str | None
    request_counts: RequestCounts
    credits_worst_case: Credits


class Afforded(TypedDict):
    """The part of a dry run that is about the account's credit."""

    #: Null for a test key, which costs nothing.
    credits_available: Credits | None
    shortage: Shortage | None
    #: Absent unless the account has used each of the models in the last 30 days.
    estimate: NotRequired[Estimate]


class JobsDryRun(Afforded):
    """What jobs would cost; nothing was created."""

    object: Literal["job.dry_run"]
    jobs: Count
    credits_worst_case: Credits


class DryRun(Quoted, Afforded):
    """What a batch would contain and its maximum cost; nothing was created."""


def batch_object(row: Mapping[str, Any]) -> Batch:
    """A batch from its row joined with the id of its invoice."""
    return {
        "id": row["id"],
        "object": "batch",
        "endpoint": row["endpoint"],
        "model": row["model"],
        "errors": faults(json.loads(row["errors"]) if row["errors"] else []),
        "input_file_id": row["input_file_id"],
        "completion_window": row["completion_window"],
        "status": shown_status(row),
        "output_file_id": row["output_file_id"],
        "error_file_id": row["error_file_id"],
        "created_at": row["created_at"] // MICROS,
        "in_progress_at": seconds(row["in_progress_at"]),
        "expires_at": seconds(row["expires_at"]),
        "finalizing_at": seconds(row["finalizing_at"]),
        "completed_at": seconds(row["completed_at"]),
        "failed_at": seconds(row["failed_at"]),
        "expired_at": seconds(row["expired_at"]),
        "cancelling_at": seconds(row["cancelling_at"]),
        "cancelled_at": seconds(row["cancelled_at"]),
        "request_counts": request_counts(row),
        "metadata": json.loads(row["labels"]) if row["labels"] else None,
        "usage": _usage(row),
        "credits_used": credits(row["charged_micros"]),
        "credits_held": credits(row["bound_micros"] - row["resolved_micros"]),
        "invoice_id": row["invoice_id"],
        "notify_each": row["notify_each"],
        "priority": row["priority"],
        "retry_of": row["retry_of"],
        "hold": "slices" if row["hold"] == "slices" else "all",
        "waiting_for": waits_for(row),
        "callback_url": row["callback_url"],
    }


def provider_progress(provider: str) -> ProviderProgress:
    """A provider of whose lines none has been counted yet."""
    return {
        "provider": provider,
        "total": 0,
        "completed": 0,
        "failed": 0,
        "running": 0,
        "waiting": 0,
        "waiting_for": None,
        "until": None,
    }


def progress_object(
    row: Mapping[str, Any], providers: Sequence[ProviderProgress], reasons: Sequence[Reason]
) -> BatchProgress:
    """The progress of a batch from its row and what its jobs say."""
    ended = (row[f"{status}_at"] for status in ("completed", "failed", "expired", "cancelled"))
    return {
        "object": "batch.progress",
        "batch_id": row["id"],
        "status": shown_status(row),
        "request_counts": request_counts(row),
        "providers": list(providers),
        "reasons": list(reasons),
        "credits_used": credits(row["charged_micros"]),
        "waiting_for": waits_for(row),
        "created_at": row["created_at"] // MICROS,
        "finished_at": seconds(next((at for at in ended if at is not None), None)),
    }


def faults(found: Sequence[Fault]) -> Faults | None:
    """What is wrong with lines; None: nothing is."""
    return {"object": "list", "data": list(found)} if found else None


def _usage(row: Mapping[str, Any]) -> BatchUsage:
    """OpenAI's: of details the sums of what is known; of no tokens at all it is known that none was cached."""
    used = usage_shown.of_row(row)
    if not used.prompt_tokens:
        used = replace(used, cached_tokens=0)
    if not used.completion_tokens:
        used = replace(used, reasoning_tokens=0)
    of_input: InputTokens = {"input_tokens": used.prompt_tokens}
    if of_prompt := usage_shown.prompt_details(used):
        of_input["input_tokens_details"] = of_prompt
    of_output: OutputTokens = {"output_tokens": used.completion_tokens}
    if of_completion := usage_shown.completion_details(used):
        of_output["output_tokens_details"] = of_completion
    estimated: Estimated = {"estimated": True} if row["estimated"] else {}
    return {**of_input, **of_output, "total_tokens": used.prompt_tokens + used.completion_tokens, **estimated}
