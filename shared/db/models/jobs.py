"""The tables of jobs: the hot row, the payload, the result; worker processes and counters."""

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from shared.db.models.columns import big, flag, long_text, partial_index

#: The conditions of the partial indexes, word for word: a statement that states one is served by its index. They are
#: literals and not parameters, since both databases match a partial index by the text of the condition.
QUEUED = "status = 'queued'"
RUNNING = "status = 'running'"
UNFINISHED = "status IN ('queued', 'running')"
UNSUCCESSFUL = "status IN ('failed', 'cancelled', 'expired')"
ENDED = "finished_at IS NOT NULL"
TO_WAKE = f"{QUEUED} AND woken_at IS NULL AND deferred_for IS NULL"
WOKEN = f"{QUEUED} AND woken_at IS NOT NULL"
DEFERRED = f"{QUEUED} AND deferred_for IS NOT NULL"
TO_CANCEL = f"cancel_requested AND {UNFINISHED}"
OF_BATCHES = "batch_id IS NOT NULL"
UNSUCCESSFUL_LINES = f"{OF_BATCHES} AND {UNSUCCESSFUL}"
AWAITING_CREDIT = f"{QUEUED} AND wanted_micros IS NOT NULL"
UNCOUNTED = "budget_open AND status NOT IN ('queued', 'running')"
UNTOLD = "owed_events IS NOT NULL AND status NOT IN ('queued', 'running')"


class JobRow(SQLModel, table=True):
    """The hot row of a job: every change is a compare-and-set on (id, status, lease_epoch)."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(
            "status IN ('queued','running','succeeded','failed','cancelled','expired')", name="status_known"
        ),
        CheckConstraint("NOT test OR bound_micros = 0", name="test_jobs_hold_nothing"),
        Index("jobs_of_account", "account_id", "test", "id"),
        partial_index("jobs_unfinished_of_account", "account_id", "test", "id", where=UNFINISHED),
        partial_index("jobs_unsuccessful_of_account", "account_id", "test", "id", where=UNSUCCESSFUL),
        partial_index("jobs_ended_of_account", "account_id", "test", "finished_at", where=ENDED),
        partial_index("jobs_of_batch", "batch_id", "id", where=OF_BATCHES),
        partial_index("jobs_unsuccessful_of_batch", "batch_id", "id", where=UNSUCCESSFUL_LINES),
        partial_index("jobs_to_wake", "queue", "account_id", text("priority DESC"), "id", where=TO_WAKE),
        partial_index("jobs_woken", "queue", "woken_at", where=WOKEN),
        partial_index("jobs_deferred", "run_at", where=DEFERRED),
        partial_index("jobs_running", "worker_id", where=RUNNING),
        partial_index("jobs_to_cancel", "id", where=TO_CANCEL),
        partial_index("jobs_expiring", "expires_at", where=UNFINISHED),
        partial_index("jobs_untold", "id", where=UNTOLD),
        partial_index("jobs_awaiting_credit", "account_id", "id", where=AWAITING_CREDIT),
        partial_index("jobs_uncounted", "id", where=UNCOUNTED),
    )
    id: str = Field(primary_key=True)
    account_id: str
    key_id: str
    batch_id: str | None = None
    #: What the customer calls this line of the batch.
    custom_id: str | None = None
    type: str
    #: Of a line of a batch in a dialect's own form: which (`shared.dialects`); NULL: in the native one.
    dialect: str | None = None
    #: The catalogue id that was asked for.
    model: str
    test: bool = False
    status: str
    #: The queue it waits on, and which of its offers that is (`job_payloads.offers`).
    queue: str
    lane: str
    offer: int = 0
    priority: int = 0
    #: Not before this is it run; 0, or a time before it came: it may run at once, which no clock has a say in.
    run_at: int = big()
    #: Why it waits for its `run_at` (`429`, `connect`, `paused` …); the sweeper clears it then. NULL: it does not wait.
    deferred_for: str | None = None
    #: When a doorbell was last rung for it; NULL: the feeder's to wake.
    woken_at: int | None = big(null=True)
    expires_at: int = big()
    lease_epoch: int = 0
    worker_id: str | None = None
    cancel_requested: bool = False
    #: Failed attempts at the present offer, for the retry schedule.
    failures: int = 0
    #: 0: never lost a worker; otherwise the largest group it may run in, halved at each loss.
    cohort: int = 0
    bound_micros: int = big(default=0)
    #: Of a job that waits for credit, what is to be held for it; its bound is 0 meanwhile. NULL: its bound is held.
    wanted_micros: int | None = big(null=True)
    #: What was asked of its answer, as JSON (`shared.submissions.answer_options`); NULL: nothing.
    answer_options: str | None = None
    #: What costs that which was sent on of its answer while it ran, and JSON of who served it and how many tokens it
    #: is; written now and then, for the case that its worker does not live to end it.
    relayed_micros: int = big(default=0)
    relayed: str | None = long_text(null=True)
    created_at: int = big()
    started_at: int | None = big(null=True)
    finished_at: int | None = big(null=True)
    #: What of its end is still to be written beside our event: that of the Responses API
    #: (`shared.jobs.response_events`), or the delivery to its `callback_url` (`shared.jobs.callbacks`); NULL: nothing.
    owed_events: str | None = None
    #: In the periods of which instant its hold and charge count for its key (`key_spend`); NULL: in none.
    budget_at: int | None = big(null=True)
    #: Its hold still counts there. A worker of an earlier version leaves it so: then it is the sweeper's.
    budget_open: bool = flag()


class JobPayloadRow(SQLModel, table=True):
    """What was asked: the canonical request, the candidate offers with their prices, attempts before a requeue."""

    __tablename__ = "job_payloads"
    job_id: str = Field(primary_key=True)
    request: str = long_text()
    offers: str = long_text()
    #: The customer's own `metadata`.
    labels: str | None = long_text(null=True)
    #: The caller's wishes about who serves, as JSON; NULL: none.
    routing: str | None = long_text(null=True)
    #: The entities that it was linked to, as the caller named them (JSON); NULL: none. What is known of them is the
    #: request's first message.
    linked_context: str | None = long_text(null=True)
    #: The body of a batch's line in a dialect's own form, as it was sent (JSON); NULL: the native request is all.
    sent: str | None = long_text(null=True)
    attempts: str | None = long_text(null=True)
    #: Until when the caller waits for it; NULL: nobody does, or it is not known.
    wait_until: int | None = big(null=True)
    #: Where the event of its end is sent, beside the account's webhooks; NULL: nowhere else.
    callback_url: str | None = None
    #: The span in which it was accepted, as a W3C `traceparent` (`shared.telemetry`); NULL: that was not traced.
    trace: str | None = None


class JobResultRow(SQLModel, table=True):
    """What came of it; written once, in the settling transaction."""

    __tablename__ = "job_results"
    __table_args__ = (
        CheckConstraint("charged_micros >= 0", name="charge_not_negative"),
        CheckConstraint("NOT test OR charged_micros = 0", name="test_jobs_cost_nothing"),
    )
    job_id: str = Field(primary_key=True)
    test: bool = False
    response: str | None = long_text(null=True)
    error: str | None = long_text(null=True)
    #: Why it did not succeed, in one word, and the error's status; NULL of one that did.
    reason: str | None = None
    status_code: int | None = None
    attempts: str = long_text()
    ignored: str | None = long_text(null=True)
    provider: str | None = None
    model: str | None = None
    prompt_tokens: int = big(default=0)
    completion_tokens: int = big(default=0)
    #: Parts of these two, where the provider told them; NULL: it did not.
    cached_tokens: int | None = big(null=True)
    cache_creation_tokens: int | None = big(null=True)
    reasoning_tokens: int | None = big(null=True)
    #: Of what was written into the cache, what is kept for an hour.
    cache_creation_1h_tokens: int | None = big(null=True)
    #: The service tier by whose price it was charged; empty: none was told or asked for. NULL: an earlier version wrote
    #: the row, which knows neither it nor the prices that came with it.
    service_tier: str | None = None
    images: int = 0
    #: Usage was counted here because the provider did not report it.
    estimated: bool = False
    charged_micros: int = big(default=0)
    #: What of the charge was given back: the sum of its refunds.
    refunded_micros: int = big(default=0)
    #: What the reported usage would have cost above the bound: the loss of the platform.
    excess_micros: int = big(default=0)
    #: The answer as far as it was sent on, of a job that ended before it was whole.
    partial: str | None = long_text(null=True)
    #: The job whose answer this is, of a job that was answered from the cache.
    cached_from: str | None = None


class JobStepRow(SQLModel, table=True):
    """A step that has ended well of a job that takes several calls; written once, with the job's change that it made.

    Its counts are those that the job is charged for, by the job's offer of that index.
    """

    __tablename__ = "job_steps"
    __table_args__ = (CheckConstraint("cost_micros >= 0", name="cost_not_negative"),)
    job_id: str = Field(primary_key=True)
    #: Its name, which no other step of the job has.
    step: str = Field(primary_key=True)
    #: The how manieth it was, from 0.
    number: int
    #: The canonical answer, for the steps after it; NULL: the job has ended with it.
    answer: str | None = long_text(null=True)
    #: Who served it.
    provider: str
    model: str
    offer: int
    prompt_tokens: int = big(default=0)
    completion_tokens: int = big(default=0)
    cached_tokens: int | None = big(null=True)
    cache_creation_tokens: int | None = big(null=True)
    cache_creation_1h_tokens: int | None = big(null=True)
    reasoning_tokens: int | None = big(null=True)
    estimated: bool = False
    #: What the provider reported, as JSON; and what that comes to at the list price of the model that served it.
    used: str = long_text()
    cost_micros: int = big(default=0)
    finished_at: int = big()


class CachedAnswerRow(SQLModel, table=True):
    """Which job answered, or is to answer, a request whose answers are cached; a hit is one that has succeeded."""

    __tablename__ = "cached_answers"
    __table_args__ = (Index("cached_answers_expiring", "expires_at"),)
    account_id: str = Field(primary_key=True)
    #: Of the request, live and test apart (`live:…`).
    fingerprint: str = Field(primary_key=True)
    job_id: str
    expires_at: int = big()


class WorkerRow(SQLModel, table=True):
    """One incarnation of a worker process: the lease of all its jobs."""

    __tablename__ = "workers"
    id: str = Field(primary_key=True)
    host: str
    pid: int
    probation: bool = False
    started_at: int = big()
    #: In the database's time.
    lease_until: int = big()
    #: Set once, by a sweeper or at a clean exit; a lapsed incarnation never comes back.
    lapsed_at: int | None = big(null=True)
    #: How many jobs it was running when it lapsed, if that tells against them; 0 when its end is explained.
    lost: int = 0
    #: It takes a doorbell as a job's first lease (`shared.jobs.first_leases`); one of an earlier version does not.
    first_leases: bool = flag()
    #: How it ended: `stopped` (a clean end), `lease_over` (the database was away, as it says itself), `together` (with
    #: others: a common cause), `lost`. NULL: it lives, or an earlier version wrote its end.
    ended: str | None = None


class CounterRow(SQLModel, table=True):
    """What is counted over all processes, in the transaction it belongs to; `shared.db.counters` adds and sums."""

    __tablename__ = "counters"
    name: str = Field(primary_key=True)
    #: JSON object of labels, keys sorted; empty when there are none.
    labels: str = Field(primary_key=True, default="")
    #: One of a few rows that different processes add to, so that they do not wait for each other.
    shard: int = Field(primary_key=True, default=0)
    value: int = big(default=0)
