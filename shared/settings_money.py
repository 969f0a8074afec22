"""The settings of what is sold: how it is paid, what it costs, and what stands on invoices."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

from shared.settings_faults import fault_of_stripe


class MoneySettings(BaseSettings):
    """A part of `shared.settings.Settings`, which has the rest, and reads them."""

    #: How purchases of credit (`POST /v1/invoices`) are paid: `manual`, which is that an operator says so with
    #: `fusionai invoices pay`, or `stripe`.
    payments: Literal["manual", "stripe"] = "manual"
    #: The price of credit: so many of the currency's minor unit (cents of USD, yen of JPY) for so many credits,
    #: and the currency (ISO 4217, in lower case). The price of a purchase is rounded up. 0: no price is shown.
    price_amount: int = Field(default=0, ge=0, le=10**9)
    price_credits: int = Field(default=1, ge=1, le=10**9)
    price_currency: str = "usd"
    #: Whom customers ask how to pay, and, where no price is set, what credit costs: an address or a telephone number.
    #: It stands in `how_to_pay` of the invoices that are made from then on.
    payment_contact: str = Field(default="", max_length=200)
    #: After how many seconds the payment provider is first asked about a purchase of which it has not told us anything;
    #: later less often.
    payment_ask_seconds: float = Field(default=60.0, gt=0)
    #: Stripe: the secret key of your account (`sk_live_…`, `rk_live_…`, or `_test_`), and the signing secret of the
    #: webhook endpoint `/payments/stripe` of this server (`whsec_…`; several, while it is changed, separated by
    #: spaces).
    stripe_secret_key: str = ""
    stripe_webhook_secret: str = ""
    #: The pages of yours to which Stripe sends customers after they have paid, and if they do not; `{invoice_id}`
    #: stands for the invoice. The second may be empty.
    stripe_success_url: str = ""
    stripe_cancel_url: str = ""
    #: Seconds that a call of Stripe may take; another address of its API (for tests).
    stripe_seconds: float = Field(default=10.0, gt=0, le=60)
    stripe_url: str = ""
    #: The fewest and the most credits that one purchase may buy.
    purchase_least_credits: int = Field(default=1, ge=1, le=10**9)
    purchase_most_credits: int = Field(default=1_000_000, ge=1, le=10**9)

    #: The seller on invoices (HTML, PDF): name, address (`\n` begins a new line), tax id, and a text at the foot.
    invoice_seller_name: str = Field(default="FusionAI", min_length=1, max_length=500)
    invoice_seller_address: str = Field(default="", max_length=500)
    invoice_seller_tax_id: str = Field(default="", max_length=100)
    invoice_footer: str = Field(default="", max_length=500)
    #: Paths of more fonts (TTF, OTF) for the PDF of invoices, separated by commas, as for Chinese, Japanese and Korean
    #: names. Latin, Greek, Cyrillic, Hebrew and Arabic have one already.
    invoice_fonts: str = ""

    @field_validator("price_currency")
    @classmethod
    def _is_a_currency(cls, currency: str) -> str:
        if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.islower()):
            raise ValueError("must be three lower-case letters, such as usd")
        return currency

    @model_validator(mode="after")
    def _can_take_payments(self) -> Self:
        if self.payments == "stripe" and (fault := fault_of_stripe(self)):
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _sells_something(self) -> Self:
        if self.purchase_least_credits > self.purchase_most_credits:
            raise ValueError("FUSIONAI_PURCHASE_LEAST_CREDITS must be at most FUSIONAI_PURCHASE_MOST_CREDITS")
        return self
