"""The settings of work: what a process serves, how leases and sweeps are timed, and how long what was done is kept."""

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings


class WorkSettings(BaseSettings):
    """A part of `shared.settings.Settings`, which has the rest, and reads them."""

    #: The queues that a worker serves, separated by commas (`openai.realtime,openai.batch,webhooks`). Empty: all.
    queues: str = ""
    #: Concurrent calls per provider in one worker process, for realtime jobs and for batch jobs.
    slots_realtime: int = Field(default=500, ge=1)
    slots_batch: int = Field(default=2000, ge=1)
    #: Additional processes that read the lines of large batch files; 0: the batches process reads them itself.
    batch_readers: int = Field(default=2, ge=0, le=64)
    #: Duration of a worker's lease, and the interval of its renewal. With these, a lease expires after three failed
    #: renewals.
    lease_seconds: float = Field(default=30.0, gt=0)
    beat_seconds: float = Field(default=10.0, gt=0)
    #: Interval of the sweep, and interval at which the feeder tops up the queues in the broker.
    sweep_seconds: float = Field(default=1.0, gt=0)
    feed_seconds: float = Field(default=0.25, gt=0)
    #: How long a process that is shutting down continues its work: a worker its calls, before it returns the jobs to
    #: the queue; a web process its responses, before it ends them with an error that says that the server is shutting
    #: down.
    drain_seconds: float = Field(default=20.0, ge=0)
    #: How long of that time /readyz reports `stopping` while the web process still accepts connections, so that load
    #: balancers stop using it first; at most a quarter of the drain time.
    stop_notice_seconds: float = Field(default=2.0, ge=0)
    #: A job that has not finished within this time ends as `expired`.
    job_expires_seconds: int = Field(default=86_400, ge=1)
    #: How long the answer to a deterministic request (`temperature: 0`) is cached, in the APIs that cache; 0: never.
    cache_seconds: int = Field(default=3600, ge=0, le=604_800)
    #: Retention in days; 0: keep forever. Jobs are kept after their end, with request and result; events with their
    #: deliveries; files without an expiry of their own. Records of credits and invoices are always kept. Because an
    #: Idempotency-Key is valid for a day and webhooks are retried for three, the minimum is 2 (events: 4).
    keep_jobs_days: int = Field(default=0, ge=0)
    keep_events_days: int = Field(default=0, ge=0)
    keep_files_days: int = Field(default=0, ge=0)

    @field_validator("keep_jobs_days", "keep_events_days")
    @classmethod
    def _is_long_enough(cls, days: int, info: ValidationInfo) -> int:
        least = 2 if info.field_name == "keep_jobs_days" else 4
        if 0 < days < least:
            raise ValueError(f"must be 0 (forever) or at least {least}")
        return days
