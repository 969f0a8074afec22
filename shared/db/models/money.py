"""The tables of money: transfers, spend by month, usage by day, thresholds, invoices."""

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel

from shared.db.models.columns import big, long_text, partial_index

#: Between which balances money of each kind moves, and for what: nothing else is a transfer.
#: A refund gives back what a job was charged; an adjustment corrects the transfer that it names.
KNOWN_TRANSFER = """(kind = 'grant' AND from_purse = 'treasury' AND to_purse = 'available'
    AND subject_type IN ('operator', 'invoice'))
  OR (kind = 'hold' AND from_purse = 'available' AND to_purse = 'held' AND subject_type IN ('job', 'batch'))
  OR (kind = 'charge' AND from_purse = 'held' AND to_purse = 'revenue' AND subject_type = 'job')
  OR (kind = 'release' AND from_purse = 'held' AND to_purse = 'available' AND subject_type IN ('job', 'batch'))
  OR (kind = 'refund' AND from_purse = 'revenue' AND to_purse = 'available' AND subject_type = 'job')
  OR (kind = 'adjust' AND subject_type = 'transfer'
    AND ((from_purse = 'treasury' AND to_purse = 'available')
      OR (from_purse = 'available' AND to_purse = 'treasury')))"""

#: Invoices that are the statement of a batch; the condition of their partial index, word for word.
STATEMENTS = "batch_id IS NOT NULL"


def once(kind: str, subject: str) -> str:
    """The condition of the partial index by which a subject has at most one transfer of a kind."""
    return f"kind = '{kind}' AND subject_type = '{subject}'"


class TransferRow(SQLModel, table=True):
    """One immutable movement of money between two balances; shared.money.ledger is the sole writer."""

    __tablename__ = "transfers"
    __table_args__ = (
        CheckConstraint("amount_micros > 0", name="amount_positive"),
        CheckConstraint(KNOWN_TRANSFER, name="transfer_known"),
        Index("transfers_of_account", "account_id", "id"),
        *(
            partial_index(f"one_{kind}_a_{subject}", "subject_id", where=once(kind, subject), unique=True)
            for subject, kind in (
                ("job", "hold"),
                ("job", "charge"),
                ("job", "release"),
                ("batch", "hold"),
                ("batch", "release"),
                ("invoice", "grant"),
            )
        ),
    )
    id: str = Field(primary_key=True)
    account_id: str
    kind: str
    #: Balances: `available`, `held` (the account's), `revenue`, `treasury` (the platform's).
    from_purse: str
    to_purse: str
    amount_micros: int = big()
    subject_type: str
    subject_id: str
    note: str | None = None
    created_at: int = big()


class MonthlySpendRow(SQLModel, table=True):
    """What an account was charged in a calendar month, UTC."""

    __tablename__ = "monthly_spend"
    account_id: str = Field(primary_key=True)
    month: str = Field(primary_key=True)
    spent_micros: int = big(default=0)


class ThresholdRow(SQLModel, table=True):
    """A level of credit at which the customer wants to be told; fires once a crossing."""

    __tablename__ = "thresholds"
    id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    kind: str
    level_micros: int = big()
    armed: bool = True
    #: For `spent`: the month it last fired in.
    period: str | None = None


class DailyUsageRow(SQLModel, table=True):
    """What an account used of a model on a day, UTC; added to in the transaction that settles its jobs."""

    __tablename__ = "daily_usage"
    account_id: str = Field(primary_key=True)
    #: `2026-11-21`.
    day: str = Field(primary_key=True)
    test: bool = Field(primary_key=True)
    model: str = Field(primary_key=True)
    jobs: int = big(default=0)
    prompt_tokens: int = big(default=0)
    completion_tokens: int = big(default=0)
    images: int = big(default=0)
    charged_micros: int = big(default=0)


class KeySpendRow(SQLModel, table=True):
    """What a key's jobs hold, and what they were charged, by the period in which they were accepted.

    Only of keys that are counted. A charge stays in the period of its hold, however late the job ends.
    """

    __tablename__ = "key_spend"
    __table_args__ = (
        CheckConstraint("held_micros >= 0", name="key_holds_not_negative"),
        CheckConstraint("spent_micros >= 0", name="key_spend_not_negative"),
    )
    key_id: str = Field(primary_key=True)
    #: A day `2026-11-21`, a month `2026-11`, or `total`; UTC.
    period: str = Field(primary_key=True)
    account_id: str
    held_micros: int = big(default=0)
    spent_micros: int = big(default=0)


class KeyUsageRow(SQLModel, table=True):
    """`daily_usage` once more, by the key; workers of earlier versions do not add to it."""

    __tablename__ = "key_usage"
    account_id: str = Field(primary_key=True)
    day: str = Field(primary_key=True)
    test: bool = Field(primary_key=True)
    key_id: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    jobs: int = big(default=0)
    prompt_tokens: int = big(default=0)
    completion_tokens: int = big(default=0)
    images: int = big(default=0)
    charged_micros: int = big(default=0)


class InvoiceRow(SQLModel, table=True):
    """A numbered document: the `statement` of a batch that was paid as it ran, or the `purchase` of credit."""

    __tablename__ = "invoices"
    __table_args__ = (
        Index("invoices_of_account", "account_id", "id"),
        partial_index("one_statement_a_batch", "batch_id", where=STATEMENTS, unique=True),
    )
    id: str = Field(primary_key=True)
    account_id: str
    #: From a counter's row, without gaps.
    number: int = Field(unique=True)
    kind: str
    status: str
    batch_id: str | None = None
    #: JSON list, a model each: `{model, jobs, prompt_tokens, completion_tokens, images, credits}`.
    lines: str = long_text()
    total_micros: int = big(default=0)
    created_at: int = big()
    paid_at: int | None = big(null=True)
