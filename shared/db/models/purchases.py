"""The tables of buying credit: how each purchase is paid, saved ways to pay, and automatic top-ups."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from shared.db.models.columns import big, flag, long_text, partial_index

#: Purchases whose provider is to be asked at a time; the condition of their partial index, word for word.
TO_ASK = "ask_at IS NOT NULL"
#: The automatic top-up of an account that is not over yet.
OPEN_TOP_UP = "open_top_up IS TRUE"
#: Purchases that are known to their provider by the payment that was made.
PAID_BY = "payment IS NOT NULL"
#: Accounts for which credit is bought automatically.
WANTED_TOP_UPS = "enabled IS TRUE AND stopped IS NULL"


class PurchaseRow(SQLModel, table=True):
    """How an invoice of kind `purchase` is paid; its status is the invoice's own."""

    __tablename__ = "purchases"
    __table_args__ = (
        Index("purchases_of_account", "account_id", "invoice_id"),
        partial_index("purchases_to_ask", "ask_at", where=TO_ASK),
        partial_index("one_open_top_up", "account_id", where=OPEN_TOP_UP, unique=True),
        partial_index("purchases_paid_by", "payment", where=PAID_BY),
    )
    invoice_id: str = Field(primary_key=True)
    account_id: str
    description: str | None = None
    #: JSON object of the customer's own labels.
    labels: str | None = long_text(null=True)
    #: The price, fixed when it was made: an integer of the currency's minor unit. NULL: no price was configured.
    amount: int | None = big(null=True)
    currency: str | None = None
    #: `manual` or `stripe`.
    provider: str
    #: `checkout`: the customer pays at a link. `saved`: the saved way to pay is charged.
    method: str = Field(default="checkout", sa_column_kwargs={"server_default": "checkout"})
    #: From 1; another one begins when one has failed for good. Part of the provider's idempotency key.
    attempt: int = big(default=1)
    #: When this attempt was first begun at the provider; from then on it may be known there.
    begun_at: int | None = big(null=True)
    #: The provider's id of this attempt: of Stripe a Checkout Session's (`cs_…`) or a PaymentIntent's (`pi_…`).
    reference: str | None = None
    url: str | None = long_text(null=True)
    expires_at: int | None = big(null=True)
    #: The provider's id of the payment that was made (`pi_…`).
    payment: str | None = None
    #: Whether the way to pay is to be saved for automatic top-ups.
    saves_method: bool = flag()
    auto_top_up: bool = flag()
    #: It is an automatic top-up whose invoice is open.
    open_top_up: bool = flag()
    #: Why the last attempt did not pay, in words.
    problem: str | None = None
    #: What was given back of it, in the currency's minor unit, as its provider says; and whether it is disputed.
    refunded: int = big(default=0)
    disputed: bool = flag()
    #: As of when, by the provider's clock: its messages come in any order.
    disputed_at: int | None = big(null=True)
    #: JSON of a payment that is not the price (`payment`, `said`), about which an operator decides; NULL: none.
    doubt: str | None = long_text(null=True)
    #: What the operator wrote who marked it paid.
    note: str | None = None
    #: When the provider is next asked; NULL: it is not.
    ask_at: int | None = big(null=True)
    closed_at: int | None = big(null=True)


class SavedPaymentRow(SQLModel, table=True):
    """An account's way to pay that may be charged while the customer is away: of the last purchase that saved one."""

    __tablename__ = "saved_payments"
    account_id: str = Field(primary_key=True)
    provider: str
    #: The provider's ids of the customer (`cus_…`) and of the payment whose method it is (`pi_…`).
    customer: str
    payment: str
    saved_at: int = big()


class PaymentNoticeRow(SQLModel, table=True):
    """A message of a payment provider that has been heeded: one that comes again changes nothing."""

    __tablename__ = "payment_notices"
    __table_args__ = (Index("payment_notices_by_time", "heeded_at"),)
    provider: str = Field(primary_key=True)
    #: The provider's own (`evt_…`).
    id: str = Field(primary_key=True)
    type: str
    heeded_at: int = big()


class AutoTopUpRow(SQLModel, table=True):
    """An account's wish that credit be bought when less than a level is available."""

    __tablename__ = "auto_top_ups"
    __table_args__ = (partial_index("top_ups_wanted", "account_id", where=WANTED_TOP_UPS),)
    account_id: str = Field(primary_key=True)
    enabled: bool = flag()
    threshold_micros: int = big()
    #: What one top-up buys.
    credits_micros: int = big()
    #: What top-ups may buy in a calendar month, UTC.
    monthly_micros: int = big()
    #: Why none is made any more, in words, until a purchase is paid or the wish is changed; NULL: they are made.
    stopped: str | None = None
    changed_at: int = big()
