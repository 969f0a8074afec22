"""Payment by hand: an operator sees the money arrive and says so (`fusionai invoices pay`). Nobody is called."""

from collections.abc import Iterator
from typing import ClassVar, NoReturn

from shared.errors import NotFound
from shared.payments.protocol import Notice, PaymentAttempt, PaymentRefused, ReceivedPayment, Standing


class Manual:
    """The adapter for which there is nothing to do."""

    name: ClassVar[str] = "manual"

    def open_checkout(self, wanted: PaymentAttempt) -> Standing:
        return _nothing()

    def charge_saved(self, wanted: PaymentAttempt) -> Standing:
        return _nothing()

    def find_charge(self, wanted: PaymentAttempt) -> Standing | None:
        return _nothing()

    def look_up(self, reference: str) -> Standing:
        return _nothing()

    def withdraw(self, reference: str) -> Standing:
        return _nothing()

    def received(self, since: int) -> Iterator[ReceivedPayment]:
        return iter(())

    def read_notice(self, payload: bytes, signature: str | None) -> Notice:
        raise NotFound("this server takes no messages of a payment provider")


def _nothing() -> NoReturn:
    raise PaymentRefused("no payment provider is configured (FUSIONAI_PAYMENTS)")
