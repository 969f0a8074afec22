"""What the plain client sends, and what it says of a file before it is sent; JSON as it is."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from fusionai.plain.objects import Estimate, Faults, List, RequestCounts, Shortage

Json = dict[str, Any]
#: A page of a list of whatever.
Page = List[Json]


class FileVerdict(TypedDict):
    """What is known of a file before it is sent: the server's dry run, without credits where it was not asked."""

    object: Literal["batch.dry_run"]
    valid: bool
    errors: Faults | None
    endpoint: str | None
    model: str | None
    request_counts: RequestCounts
    credits_worst_case: float | None
    credits_available: float | None
    shortage: NotRequired[Shortage | None]
    estimate: NotRequired[Estimate]


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
    #: `slices`: hold for the lines that start next alone, instead of for all of them.
    hold: Literal["all", "slices"]
    #: `wait`: start once there is enough credit, instead of failing.
    on_insufficient_credits: Literal["fail", "wait"]
    #: `{"anchor": "created_at", "seconds": n}`
    output_expires_after: Json | None
