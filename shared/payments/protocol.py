"""What a payment provider's adapter does, and the values it takes and gives."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol

from shared.errors import Unavailable, UpstreamError

#: How an attempt to pay stands: `processing` has been made by the customer and is not decided yet; `failed` and
#: `expired` never pay any more.
Status = Literal["open", "processing", "paid", "failed", "expired"]


@dataclass(frozen=True, slots=True)
class PaymentAttempt:
    """One attempt at having an invoice paid."""

    invoice_id: str
    number: int
    account_id: str
    #: From 1; (invoice, attempt) is the provider's idempotency key.
    attempt: int
    #: In the currency's minor unit.
    amount: int
    currency: str
    credits: str
    #: Whether the way to pay is to be saved, to be charged later.
    saves_method: bool
    #: The provider's id of the account's customer, where one is known; and of the payment whose method is charged.
    customer: str | None = None
    payment: str | None = None
    #: How long ago this attempt was first begun, in seconds: the provider may know it already.
    begun_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How an attempt stands at its provider."""

    status: Status
    #: The provider's id of the attempt.
    reference: str
    #: What the attempt says that it is of; None: nothing of ours.
    invoice_id: str | None
    attempt: int
    amount: int | None
    currency: str | None
    #: Where the customer pays, and until when (microseconds).
    url: str | None = None
    expires_at: int | None = None
    #: The provider's ids of the payment and of the customer.
    payment: str | None = None
    customer: str | None = None
    #: Why it failed, in words.
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class GivenBack:
    """What the provider says of a payment that was made: so much of it was given back, or it is disputed."""

    payment: str
    #: In the currency's minor unit, in all; None: not said.
    refunded: int | None
    disputed: bool


@dataclass(frozen=True, slots=True)
class ReceivedPayment:
    """A payment that was made for an invoice of ours, as its provider lists it."""

    payment: str
    invoice_id: str
    account_id: str | None
    #: In the currency's minor unit.
    amount: int | None
    currency: str | None
    #: When its attempt was made, in seconds since the epoch.
    at: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A provider's own message, verified: of an attempt, of money given back, or of nothing that matters here."""

    id: str
    type: str
    news: Standing | GivenBack | None
    #: When the provider says that it happened, in seconds since the epoch.
    at: int = 0


class Payments(Protocol):
    """A payment provider. Each method raises PaymentsAway, or PaymentRefused, which trying again does not change."""

    name: ClassVar[str]

    def open_checkout(self, wanted: PaymentAttempt) -> Standing:
        """Make the page at which the customer pays; for the same attempt the same page."""

    def charge_saved(self, wanted: PaymentAttempt) -> Standing:
        """Charge the saved way to pay, once for an attempt."""

    def find_charge(self, wanted: PaymentAttempt) -> Standing | None:
        """The charge of this attempt, if it has been made; None: it has not, and is not made by this."""

    def look_up(self, reference: str) -> Standing:
        """How an attempt stands."""

    def withdraw(self, reference: str) -> Standing:
        """End an attempt, so that it is never paid; how it stands then: `paid` or `processing` where it is too late."""

    def received(self, since: int) -> Iterator[ReceivedPayment]:
        """The payments whose attempts were made since then, in seconds since the epoch."""

    def read_notice(self, payload: bytes, signature: str | None) -> Notice:
        """A message of the provider to us; InvalidRequest for one that is forged, old or not for this system."""


#: Why a provider does not serve us: this attempt's idempotency key was used with other words, by other settings.
KEY_USED: Final = "idempotency_key_used"


class PaymentsAway(Unavailable):
    """The provider cannot be reached, or does not serve us now; `reason` may be KEY_USED."""


class PaymentRefused(UpstreamError):
    """The provider refused, and would again."""
