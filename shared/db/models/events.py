"""The tables of the outbox: events, webhooks, deliveries."""

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field, SQLModel

from shared.db.models.columns import big, flag, long_text, partial_index

#: Deliveries still to be sent; the condition of their partial index, word for word.
PENDING = "status = 'pending'"
#: Whose numbers are left out, where they are those of invoices.
INVOICES = "invoices"


class EventRow(SQLModel, table=True):
    """The outbox: what happened, numbered without gaps per account and mode, live or test."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_in_order", "account_id", "test", "sequence", unique=True),
        Index("events_by_time", "created_at"),
    )
    id: str = Field(primary_key=True)
    account_id: str
    #: Of the account's test keys; live and test do not see each other's.
    test: bool = flag()
    sequence: int = big()
    type: str
    data: str = long_text()
    created_at: int = big()
    #: How many deliveries were made with it; NULL: an earlier version made it, which did not say.
    deliveries: int | None = None


class NumberGapRow(SQLModel, table=True):
    """Numbers that no event of an account and mode has, or no invoice: given out, perhaps, before a restore undid that.

    `shared.after_restore` leaves them out, so that nobody sees a number a second time.
    """

    __tablename__ = "number_gaps"
    #: An account, of whose events they are; or INVOICES.
    owner: str = Field(primary_key=True)
    test: bool = Field(primary_key=True)
    #: The first and the last of them.
    first: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    last: int = big()
    #: The moment to which the database was restored, and when that was.
    restored_to: int = big()
    made_at: int = big()


class WebhookRow(SQLModel, table=True):
    """Where an account wants its events sent: those of live keys, or those of test keys."""

    __tablename__ = "webhooks"
    id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    test: bool = flag()
    url: str
    #: What its owner says of it; NULL: nothing.
    description: str | None = None
    #: JSON list of event types; `["*"]` is all.
    events: str = long_text()
    secret: str
    #: JSON list of the secrets before, `{"secret", "until"}` each, which sign beside it until then, the newest first.
    old_secrets: str | None = long_text(null=True)
    #: The newest of those; for versions that know no list.
    previous_secret: str | None = None
    previous_until: int | None = big(null=True)
    #: Until when its receiver wants to be left alone (Retry-After), in the database's time.
    paused_until: int | None = big(null=True)
    status: str = "enabled"
    #: Since when sends to it have failed, without a success and without a long pause; NULL: the last one succeeded.
    failing_since: int | None = big(null=True)
    #: About when the newest of those failed: it is written once an hour.
    failed_at: int | None = big(null=True)
    #: Why it was disabled, if not by its owner.
    disabled_reason: str | None = None
    created_at: int = big()


class CallbackSecretRow(SQLModel, table=True):
    """What signs deliveries to the `callback_url` of jobs and batches: one an account and mode, live or test.

    Those deliveries have its id in the place of a webhook's: a version that knows no callbacks passes them over.
    """

    __tablename__ = "callback_secrets"
    __table_args__ = (Index("one_callback_secret_a_mode", "account_id", "test", unique=True),)
    id: str = Field(primary_key=True)
    account_id: str
    test: bool = flag()
    secret: str
    #: As a webhook's.
    old_secrets: str | None = long_text(null=True)
    created_at: int = big()


class DeliveryRow(SQLModel, table=True):
    """One event on its way to one webhook, or a callback; retried from this row until it is delivered or given up."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("deliveries_of_webhook", "webhook_id", "id"),
        partial_index("deliveries_due", "next_at", where=PENDING),
        partial_index("deliveries_waiting", "webhook_id", "next_at", where=PENDING),
        Index("one_delivery_an_event", "event_id", "webhook_id", unique=True),
    )
    id: str = Field(primary_key=True)
    event_id: str
    #: Or the id of the account's callback secret.
    webhook_id: str
    account_id: str
    test: bool = flag()
    status: str = "pending"
    #: Sends of which it is known what came of them.
    attempts: int = 0
    #: Claims since then: of senders that died, but for the last.
    claims: int = big(default=0)
    #: When it was last asked for anew; NULL: never, its days count from its event.
    asked_at: int | None = big(null=True)
    #: When it may be claimed (again): its due time, or the end of the claim under way; 0: at once.
    next_at: int = big()
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: int | None = big(null=True)
    #: The `callback_url` that it goes to; NULL: to its webhook's address.
    url: str | None = None
    #: JSON list of its last attempts, the oldest first (`workers.webhooks.attempt_log`); NULL: none is known.
    log: str | None = long_text(null=True)
