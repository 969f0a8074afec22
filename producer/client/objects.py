"""The API's objects as its Python client gives them, which are those of `producer.objects`; and what it sends."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from producer.objects import BATCH_OVER as BATCH_OVER
from producer.objects import TERMINAL as TERMINAL
from producer.objects import Attempt as Attempt
from producer.objects import Batch as Batch
from producer.objects import BatchProgress as BatchProgress
from producer.objects import BatchResult as BatchResult
from producer.objects import Charge as Charge
from producer.objects import ChargeLine as ChargeLine
from producer.objects import DryRun as DryRun
from producer.objects import Estimate as Estimate
from producer.objects import Fault as Fault
from producer.objects import Faults as Faults
from producer.objects import File as File
from producer.objects import HoldLine as HoldLine
from producer.objects import Job as Job
from producer.objects import JobHold as JobHold
from producer.objects import JobInput as JobInput
from producer.objects import JobRouting as JobRouting
from producer.objects import JobStatus as JobStatus
from producer.objects import List
from producer.objects import ProviderProgress as ProviderProgress
from producer.objects import Reason as Reason
from producer.objects import RequestCounts as RequestCounts
from producer.objects import Shortage as Shortage

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
