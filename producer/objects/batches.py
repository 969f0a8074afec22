"""OpenAI's batch object and what is ours in it, made from a batch's row; and a dry run. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from shared.clock import MICROS, seconds
from shared.objects.amounts import credits
from shared.objects.batches import (
    BatchStatus,
    Fault,
    RequestCounts,
    WaitingFor,
    request_counts,
    shown_status,
    waits_for,
    waits_until,
)
from shared.objects.fields import Count, Credits, Labels, Time
from shared.objects.shortages import Estimate, Shortage
from shared.submissions import usage_shown
from shared.submissions.usage_shown import CompletionDetails, PromptDetails


class Faults(TypedDict):
    """The first hundred errors in the lines of a batch."""

    object: Literal["list"]
    data: list[Fault]


class BatchInputTokens(TypedDict):
    """The first half of a batch's usage."""

    input_tokens: Count
    input_tokens_details: NotRequired[PromptDetails]


class BatchOutputTokens(TypedDict):
    """The other half."""

    output_tokens: Count
    output_tokens_details: NotRequired[CompletionDetails]


class Estimated(TypedDict):
    """Counted here, because the provider did not tell."""

    estimated: NotRequired[Literal[True]]


class _Total(TypedDict):
    total_tokens: Count


class BatchUsage(BatchInputTokens, BatchOutputTokens, _Total, Estimated):
    """The tokens of a batch so far. Details are sums of what providers reported, absent if none did.

    `estimated`: the tokens of some lines were counted by FusionAI, because the provider did not report them.
    """


#: When a batch that waits for a budget goes on at the latest.
WaitingUntil = Annotated[
    Time | None,
    Field(description="With `budget`: when it begins anew. Null: it never does, or the batch waits for none."),
]


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
        WaitingFor | None,
        Field(
            description="`credits`: the next lines start once the account has enough credit. `budget`: once a budget "
            "of the API key has room for them. Null: it does not wait."
        ),
    ]
    waiting_until: WaitingUntil
    #: Where the event of its end is sent, beside the webhooks that subscribe it.
    callback_url: str | None


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
        "waiting_until": seconds(waits_until(row)),
        "callback_url": row["callback_url"],
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
    of_input: BatchInputTokens = {"input_tokens": used.prompt_tokens}
    if of_prompt := usage_shown.prompt_details(used):
        of_input["input_tokens_details"] = of_prompt
    of_output: BatchOutputTokens = {"output_tokens": used.completion_tokens}
    if of_completion := usage_shown.completion_details(used):
        of_output["output_tokens_details"] = of_completion
    estimated: Estimated = {"estimated": True} if row["estimated"] else {}
    return {**of_input, **of_output, "total_tokens": used.prompt_tokens + used.completion_tokens, **estimated}
