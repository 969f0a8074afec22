"""Amounts of money in words: how many decimals a currency has. Pure.

The decimals are ISO 4217's, which Stripe counts amounts in as well, but for ISK and UGX, of which it wants hundredths:
https://docs.stripe.com/currencies#minor-units
"""

from typing import Final

_WITHOUT: Final = frozenset(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf")
)
_THOUSANDTHS: Final = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))


def decimals(currency: str) -> int:
    """How many decimals an amount of the currency is written with."""
    return 0 if currency in _WITHOUT else 3 if currency in _THOUSANDTHS else 2


def money_text(amount: int, currency: str) -> str:
    """An amount of the currency's minor unit, as it is written.

    >>> money_text(123_450, "usd"), money_text(1_500, "jpy"), money_text(5, "kwd")
    ('1,234.50 USD', '1,500 JPY', '0.005 KWD')
    """
    places = decimals(currency)
    whole, rest = divmod(amount, 10**places)
    return f"{whole:,}{f'.{rest:0{places}d}' if places else ''} {currency.upper()}"
