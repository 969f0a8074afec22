"""The tables of accounts: accounts, their keys, and the answers kept for Idempotency-Keys."""

from sqlalchemy import CheckConstraint, Index, true
from sqlmodel import Field, SQLModel

from shared.db.models.columns import big, flag, long_text


class AccountRow(SQLModel, table=True):
    """A customer. The two balances are cached sums of its transfers; both are never negative."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("available_micros >= 0", name="available_not_negative"),
        CheckConstraint("held_micros >= 0", name="held_not_negative"),
    )
    id: str = Field(primary_key=True)
    name: str
    plan: str
    #: Overrides its plan's.
    requests_per_minute: int | None = None
    #: `refuse` or `ignore`: what is done about fields of a request that nobody knows.
    unknown_fields: str = Field(default="refuse", sa_column_kwargs={"server_default": "refuse"})
    #: Its chats may be linked to entities.
    linked_context: bool = flag()
    #: JSON: the name, address and tax id of its invoices; NULL: its name alone.
    billing: str | None = long_text(null=True)
    #: Default fallbacks, as of keys; NULL: those of the models' rows.
    fallbacks: str | None = long_text(null=True)
    available_micros: int = big(default=0)
    held_micros: int = big(default=0)
    #: What is left of grants that have expired, as of the last look at them: jobs held it then. What of it is released
    #: may not be held any more, until it leaves the account.
    expired_micros: int = big(default=0)
    #: The number of its newest event; taken under this row's lock, so that no reader of /events misses one.
    sequence: int = big(default=0)
    #: The same of the events of its test keys, which are counted apart.
    test_sequence: int = big(default=0)
    #: `credit.exhausted` may be sent: since the last top-up no request has been refused because credit had ended.
    exhausted_armed: bool = True
    #: It may be sent although it was sent early: the last credit has not ended since.
    end_armed: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    created_at: int = big()


class ApiKeyRow(SQLModel, table=True):
    """A project key: only its keyed hash is kept, and the first characters to tell it by."""

    __tablename__ = "api_keys"
    id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    mode: str
    name: str
    prefix: str
    hash: str = Field(unique=True)
    #: The mark of the secret under which that is (`shared.key_secrets.mark`); NULL: made by a version that knew none.
    hashed_by: str | None = None
    created_at: int = big()
    expires_at: int | None = big(null=True)
    revoked_at: int | None = big(null=True)
    last_used_at: int | None = big(null=True)
    #: The models that it may use, as a JSON list of names and patterns; NULL: all.
    models: str | None = long_text(null=True)
    #: What it may do, as a JSON list of `shared.permissions.PERMISSIONS`; NULL: everything.
    permissions: str | None = long_text(null=True)
    #: Its default fallbacks, as a JSON list of models; NULL: its account's.
    fallbacks: str | None = long_text(null=True)
    #: Its own limits of a minute, beside its account's; NULL: none.
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = big(null=True)
    #: What it may spend in a calendar day, in a calendar month (UTC) and in all; NULL: no limit.
    budget_day_micros: int | None = big(null=True)
    budget_month_micros: int | None = big(null=True)
    budget_total_micros: int | None = big(null=True)
    #: What it holds and spends is counted (`key_spend`): since it first had a budget, and from then on.
    counted: bool = flag()


class IdempotencyKeyRow(SQLModel, table=True):
    """The answer that a POST with this Idempotency-Key got, replayed to every later one."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_expiring", "expires_at"),)
    account_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    status_code: int
    response: str = long_text()
    created_at: int = big()
    expires_at: int = big()
