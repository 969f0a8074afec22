"""Every table, as SQLModel classes, and beside each the SQLAlchemy table that statements are written with.

Times are microseconds since the epoch (`shared.clock`), money is integer micro-credits. JSON is kept as text that this
program wrote itself. Payloads and results live apart from the hot job row, which every transition rewrites.
"""

from typing import Any, cast

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Table, Text, text
from sqlmodel import Field, SQLModel


def _big(*, null: bool = False, default: int | None = None) -> Any:
    column: Column[Any] = Column(BigInteger, nullable=null, server_default=None if default is None else str(default))
    return Field(default=None if null else (default if default is not None else 0), sa_column=column)


def _text(*, null: bool = False) -> Any:
    column: Column[Any] = Column(Text, nullable=null)
    return Field(default=None if null else "", sa_column=column)


class Account(SQLModel, table=True):
    """A customer. The two balances are cached sums of its transfers; both are never negative."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("available_micros >= 0", name="available_not_negative"),
        CheckConstraint("held_micros >= 0", name="held_not_negative"),
    )
    id: str = Field(primary_key=True)
    name: str
    plan: str
    available_micros: int = _big(default=0)
    held_micros: int = _big(default=0)
    #: The number of its newest event; taken under this row's lock, so that no reader of /events misses one.
    sequence: int = _big(default=0)
    exhausted_armed: bool = True
    created_at: int = _big()


class ApiKey(SQLModel, table=True):
    """A project key: only its keyed hash is kept, and the first characters to tell it by."""

    __tablename__ = "api_keys"
    id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    mode: str
    name: str
    prefix: str
    hash: str = Field(unique=True)
    created_at: int = _big()
    expires_at: int | None = _big(null=True)
    revoked_at: int | None = _big(null=True)
    last_used_at: int | None = _big(null=True)


class Job(SQLModel, table=True):
    """The hot row of a job: every change is a compare-and-set on (id, status, lease_epoch)."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(
            "status IN ('queued','running','succeeded','failed','cancelled','expired')", name="status_known"
        ),
        CheckConstraint("NOT test OR bound_micros = 0", name="test_jobs_hold_nothing"),
        Index("jobs_of_account", "account_id", "id"),
        Index(
            "jobs_to_wake",
            "queue",
            "account_id",
            text("priority DESC"),
            "id",
            sqlite_where=text("status = 'queued' AND woken_at IS NULL"),
            postgresql_where=text("status = 'queued' AND woken_at IS NULL"),
        ),
        Index(
            "jobs_woken",
            "queue",
            "woken_at",
            sqlite_where=text("status = 'queued' AND woken_at IS NOT NULL"),
            postgresql_where=text("status = 'queued' AND woken_at IS NOT NULL"),
        ),
        Index(
            "jobs_running",
            "worker_id",
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
        Index(
            "jobs_to_cancel",
            "id",
            sqlite_where=text("cancel_requested AND status IN ('queued', 'running')"),
            postgresql_where=text("cancel_requested AND status IN ('queued', 'running')"),
        ),
        Index(
            "jobs_expiring",
            "expires_at",
            sqlite_where=text("status IN ('queued', 'running')"),
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
    )
    id: str = Field(primary_key=True)
    account_id: str
    key_id: str
    batch_id: str | None = None
    type: str
    #: The catalogue id that was asked for.
    model: str
    test: bool = False
    status: str
    #: The queue it waits on, and which of its offers that is (`job_payloads.offers`).
    queue: str
    lane: str
    offer: int = 0
    priority: int = 0
    run_at: int = _big()
    #: When a doorbell was last rung for it; NULL: the feeder's to wake.
    woken_at: int | None = _big(null=True)
    expires_at: int = _big()
    lease_epoch: int = 0
    worker_id: str | None = None
    cancel_requested: bool = False
    #: Failed attempts at the present offer, for the retry schedule.
    failures: int = 0
    #: 0: never lost a worker; otherwise the largest group it may run in, halved at each loss.
    cohort: int = 0
    bound_micros: int = _big(default=0)
    created_at: int = _big()
    started_at: int | None = _big(null=True)
    finished_at: int | None = _big(null=True)


class JobPayload(SQLModel, table=True):
    """What was asked: the canonical request, the candidate offers with their prices, attempts before a requeue."""

    __tablename__ = "job_payloads"
    job_id: str = Field(primary_key=True)
    request: str = _text()
    offers: str = _text()
    #: The customer's own `metadata`.
    labels: str | None = _text(null=True)
    attempts: str | None = _text(null=True)


class JobResult(SQLModel, table=True):
    """What came of it; written once, in the settling transaction."""

    __tablename__ = "job_results"
    __table_args__ = (
        CheckConstraint("charged_micros >= 0", name="charge_not_negative"),
        CheckConstraint("NOT test OR charged_micros = 0", name="test_jobs_cost_nothing"),
    )
    job_id: str = Field(primary_key=True)
    test: bool = False
    response: str | None = _text(null=True)
    error: str | None = _text(null=True)
    attempts: str = _text()
    ignored: str | None = _text(null=True)
    provider: str | None = None
    model: str | None = None
    prompt_tokens: int = _big(default=0)
    completion_tokens: int = _big(default=0)
    images: int = 0
    #: Usage was counted here because the provider did not report it.
    estimated: bool = False
    charged_micros: int = _big(default=0)
    #: What the reported usage would have cost above the bound: the house's loss.
    excess_micros: int = _big(default=0)


class Transfer(SQLModel, table=True):
    """One immutable movement of money between two purses; shared.ledger is the sole writer."""

    __tablename__ = "transfers"
    __table_args__ = (
        CheckConstraint("amount_micros > 0", name="amount_positive"),
        Index("transfers_of_account", "account_id", "id"),
        *(
            Index(
                f"one_{kind}_a_{subject}",
                "subject_id",
                unique=True,
                sqlite_where=text(f"kind = '{kind}' AND subject_type = '{subject}'"),
                postgresql_where=text(f"kind = '{kind}' AND subject_type = '{subject}'"),
            )
            for subject, kind in (
                ("job", "hold"),
                ("job", "charge"),
                ("job", "release"),
                ("batch", "hold"),
                ("invoice", "grant"),
            )
        ),
    )
    id: str = Field(primary_key=True)
    account_id: str
    kind: str
    #: Purses: `available`, `held` (the account's), `revenue`, `treasury` (the house's).
    from_purse: str
    to_purse: str
    amount_micros: int = _big()
    subject_type: str
    subject_id: str
    note: str | None = None
    created_at: int = _big()


class MonthlySpend(SQLModel, table=True):
    """What an account was charged in a calendar month, UTC."""

    __tablename__ = "monthly_spend"
    account_id: str = Field(primary_key=True)
    month: str = Field(primary_key=True)
    spent_micros: int = _big(default=0)


class Threshold(SQLModel, table=True):
    """A level of credit at which the customer wants to be told; fires once a crossing."""

    __tablename__ = "thresholds"
    id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    kind: str
    level_micros: int = _big()
    armed: bool = True
    #: For `spent`: the month it last fired in.
    period: str | None = None


class Event(SQLModel, table=True):
    """The outbox: what happened, numbered per account without gaps."""

    __tablename__ = "events"
    __table_args__ = (Index("events_in_order", "account_id", "sequence", unique=True),)
    id: str = Field(primary_key=True)
    account_id: str
    sequence: int = _big()
    type: str
    data: str = _text()
    created_at: int = _big()


class Webhook(SQLModel, table=True):
    """Where an account wants its events sent."""

    __tablename__ = "webhooks"
    id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    url: str
    #: JSON list of event types; `["*"]` is all.
    events: str = _text()
    secret: str
    previous_secret: str | None = None
    previous_until: int | None = _big(null=True)
    status: str = "enabled"
    created_at: int = _big()


class Delivery(SQLModel, table=True):
    """One event on its way to one webhook; retried from this row until it is delivered or given up."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("deliveries_of_webhook", "webhook_id", "id"),
        Index(
            "deliveries_due",
            "next_at",
            sqlite_where=text("status = 'pending'"),
            postgresql_where=text("status = 'pending'"),
        ),
        Index("one_delivery_an_event", "event_id", "webhook_id", unique=True),
    )
    id: str = Field(primary_key=True)
    event_id: str
    webhook_id: str
    account_id: str
    status: str = "pending"
    attempts: int = 0
    #: When it may be claimed (again): its due time, or the end of the claim under way.
    next_at: int = _big()
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: int | None = _big(null=True)


class WorkerRow(SQLModel, table=True):
    """One incarnation of a worker process: the lease of all its jobs."""

    __tablename__ = "workers"
    id: str = Field(primary_key=True)
    host: str
    pid: int
    probation: bool = False
    started_at: int = _big()
    #: In the database's time.
    lease_until: int = _big()
    #: Set once, by a sweeper or at a clean exit; a lapsed incarnation never comes back.
    lapsed_at: int | None = _big(null=True)
    #: How many jobs it was running when it lapsed.
    lost: int = 0


class IdempotencyKey(SQLModel, table=True):
    """The answer that a POST with this Idempotency-Key got, replayed to every later one."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_expiring", "expires_at"),)
    account_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    status_code: int
    response: str = _text()
    created_at: int = _big()
    expires_at: int = _big()


class Counter(SQLModel, table=True):
    """Rare happenings worth a number over all processes: stale answers refused, poison jobs, excess usage."""

    __tablename__ = "counters"
    name: str = Field(primary_key=True)
    value: int = _big(default=0)


def _table(model: type[SQLModel]) -> Table:
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


accounts = _table(Account)
api_keys = _table(ApiKey)
jobs = _table(Job)
job_payloads = _table(JobPayload)
job_results = _table(JobResult)
transfers = _table(Transfer)
monthly_spend = _table(MonthlySpend)
thresholds = _table(Threshold)
events = _table(Event)
webhooks = _table(Webhook)
deliveries = _table(Delivery)
workers = _table(WorkerRow)
idempotency_keys = _table(IdempotencyKey)
counters = _table(Counter)

metadata = SQLModel.metadata
