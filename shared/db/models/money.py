"""The tables of money: transfers, grants that expire, spend by month, usage by day, thresholds, invoices."""

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel

from shared.db.models.columns import big, long_text, partial_index

#: Between which balances money of each kind moves, and for what: nothing else is a transfer.
#: A refund gives back what a job was charged; an adjustment corrects the transfer that it names, or the balance for a
#: reason that its entry in the audit log states; what is unspent of a grant (`credit_grants`) expires.
KNOWN_TRANSFER = """(kind = 'grant' AND from_purse = 'treasury' AND to_purse = 'available'
    AND subject_type IN ('operator', 'invoice'))
  OR (kind = 'hold' AND from_purse = 'available' AND to_purse = 'held' AND subject_type IN ('job', 'batch'))
  OR (kind = 'charge' AND from_purse = 'held' AND to_purse = 'revenue' AND subject_type = 'job')
  OR (kind = 'release' AND from_purse = 'held' AND to_purse = 'available' AND subject_type IN ('job', 'batch'))
  OR (kind = 'refund' AND from_purse = 'revenue' AND to_purse = 'available' AND subject_type = 'job')
  OR (kind = 'expire' AND from_purse = 'available' AND to_purse = 'treasury' AND subject_type = 'grant')
  OR (kind = 'adjust' AND subject_type IN ('transfer', 'operator')
    AND ((from_purse = 'treasury' AND to_purse = 'available')
      OR (from_purse = 'available' AND to_purse = 'treasury')))"""

#: Invoices that are the statement of a batch; the condition of their partial index, word for word.
STATEMENTS = "batch_id IS NOT NULL"
#: Invoices that are the statement of a month; likewise.
MONTHLY = "period IS NOT NULL"
#: Months that may still get a statement; likewise.
OPEN_MONTHS = "stated_at IS NULL"
#: What was given back or corrected; likewise.
CORRECTIONS = "kind IN ('refund', 'adjust')"
#: What was granted or bought, and what has expired; likewise.
GIVEN = "kind IN ('grant', 'expire')"


#: Grants of which something may still expire; the condition of their partial indexes, word for word.
OPEN_GRANTS = "due_at IS NOT NULL"
#: Those of them of which the customer is to be told that they will expire; likewise.
GRANTS_TO_TELL = "due_at IS NOT NULL AND warn_at IS NOT NULL"


def once(kind: str, subject: str) -> str:
    """The condition of the partial index by which a subject has at most one transfer of a kind; refunds may be more."""
    return f"kind = '{kind}' AND subject_type = '{subject}'"


class TransferRow(SQLModel, table=True):
    """One immutable movement of money between two balances; shared.money.ledger is the sole writer."""

    __tablename__ = "transfers"
    __table_args__ = (
        CheckConstraint("amount_micros > 0", name="amount_positive"),
        CheckConstraint(KNOWN_TRANSFER, name="transfer_known"),
        Index("transfers_of_account", "account_id", "id"),
        partial_index("refunds_of_job", "subject_id", where=once("refund", "job")),
        partial_index("transfers_correcting", "account_id", "created_at", where=CORRECTIONS),
        partial_index("transfers_given", "account_id", "created_at", where=GIVEN),
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


class CreditGrantRow(SQLModel, table=True):
    """Prepaid credit that expires: the grant of that id. Credits that expire first are spent first.

    What is unspent is not written at each charge: it is brought up to date, under the account's lock, from what the
    account has been charged since (`shared.money.lots`).
    """

    __tablename__ = "credit_grants"
    __table_args__ = (
        CheckConstraint("unspent_micros >= 0 AND expired_micros >= 0", name="grant_not_negative"),
        CheckConstraint("unspent_micros + expired_micros <= amount_micros", name="grant_within_amount"),
        partial_index("grants_due", "due_at", where=OPEN_GRANTS),
        partial_index("grants_to_tell", "warn_at", where=GRANTS_TO_TELL),
        partial_index("grants_of_account", "account_id", "expires_at", where=OPEN_GRANTS),
    )
    id: str = Field(primary_key=True)
    account_id: str
    amount_micros: int = big()
    expires_at: int = big()
    created_at: int = big()
    #: What was unspent of it when the account had been charged `counted_micros` in all (the sum of `monthly_spend`).
    unspent_micros: int = big()
    counted_micros: int = big()
    expired_micros: int = big(default=0)
    #: When the sweeper looks at it next: it expires, or jobs still hold some of it. NULL: nothing of it is left.
    due_at: int | None = big(null=True)
    #: When the customer is told that it will expire; NULL: that has been done, or is not to be.
    warn_at: int | None = big(null=True)


class MonthlySpendRow(SQLModel, table=True):
    """What an account was charged in a calendar month, UTC."""

    __tablename__ = "monthly_spend"
    __table_args__ = (partial_index("months_open", "month", "account_id", where=OPEN_MONTHS),)
    account_id: str = Field(primary_key=True)
    month: str = Field(primary_key=True)
    spent_micros: int = big(default=0)
    #: When the month's statement was made, or found not to be needed; NULL: not yet.
    stated_at: int | None = big(null=True)


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


class KeyThresholdRow(SQLModel, table=True):
    """A level of a key's budget or spend at which the customer wants to be told; fires once a crossing.

    A table of its own: versions that do not know it take every row of `thresholds` for one of the account, judge it by
    the account's balance, and replace it with the account's.
    """

    __tablename__ = "key_thresholds"
    id: str = Field(primary_key=True)
    key_id: str = Field(index=True)
    account_id: str
    kind: str
    level_micros: int = big()
    armed: bool = True
    #: The period it last fired in: a day, a month, or what else the key's budget is of.
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
    #: Of `jobs`, those known to be of no batch. Where these and `batch_jobs` are fewer than `jobs`, a version that did
    #: not tell them apart settled the rest.
    single_jobs: int = big(default=0)
    #: What of the sums above is known to be of jobs of batches, which have a statement of their own.
    batch_jobs: int = big(default=0)
    batch_prompt_tokens: int = big(default=0)
    batch_completion_tokens: int = big(default=0)
    batch_images: int = big(default=0)
    batch_charged_micros: int = big(default=0)


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
    """A numbered document: the `statement` of a batch or month that was paid as it ran, or a `purchase` of credit."""

    __tablename__ = "invoices"
    __table_args__ = (
        Index("invoices_of_account", "account_id", "id"),
        partial_index("one_statement_a_batch", "batch_id", where=STATEMENTS, unique=True),
        partial_index("one_statement_a_month", "account_id", "period", where=MONTHLY, unique=True),
    )
    id: str = Field(primary_key=True)
    account_id: str
    #: From a counter's row, without gaps.
    number: int = Field(unique=True)
    kind: str
    status: str
    batch_id: str | None = None
    #: The calendar month, UTC, that a statement is of: `2026-11`.
    period: str | None = None
    #: JSON list of `shared.objects.invoices.InvoiceLine`; earlier versions wrote no `kind` and no `description`.
    lines: str = long_text()
    #: JSON: who sold and who bought, as their details were when the invoice was made; NULL: as they are now.
    parties: str | None = long_text(null=True)
    total_micros: int = big(default=0)
    created_at: int = big()
    paid_at: int | None = big(null=True)
