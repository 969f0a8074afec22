"""Payment providers: how purchases of credit are paid. `payments` is the one that the settings choose.

An adapter only talks to its provider, on the calling thread, and never inside a transaction; what follows of its
answers is decided by `shared.payments.collecting` and written by `shared.money.purchases`.
"""

from shared.payments.manual import Manual
from shared.payments.protocol import Payments
from shared.settings import settings


def payments() -> Payments:
    """The adapter of FUSIONAI_PAYMENTS, to be kept. Stripe's library is imported only where it is chosen."""
    if settings().payments == "manual":
        return Manual()
    from shared.payments.stripe_payments import StripePayments

    return StripePayments(settings())
