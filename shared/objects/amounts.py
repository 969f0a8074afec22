"""Amounts of credit as the API writes them. Pure."""


def credits(micros: int) -> int | float:
    """Micro-credits as the JSON number of credits: exact, at most six decimals.

    A float prints as the shortest decimal that reads back as itself, which below 2**53 micro-credits is the exact one.
    """
    return micros // 1_000_000 if micros % 1_000_000 == 0 else micros / 1_000_000


def credits_decimal(micros: int) -> str:
    """The same as text, without an exponent and without needless zeros.

    >>> credits_decimal(81_000), credits_decimal(7), credits_decimal(3_000_000), credits_decimal(0)
    ('0.081', '0.000007', '3', '0')
    """
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}".rstrip("0").rstrip(".")
