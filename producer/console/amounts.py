"""Amounts of credits as they are typed into forms, in micro-credits."""

from decimal import Decimal, DecimalException
from typing import Final

from shared.clock import MICROS
from shared.errors import InvalidRequest

#: Credits in one amount.
MOST_CREDITS: Final = 10**9


def micros_of(param: str, text: str, *, least: int = 1) -> int:
    """The amount of a field, exactly; InvalidRequest names the field. `least`: in micro-credits.

    >>> micros_of("credits", "1,000.5")
    1000500000
    """
    try:
        given = Decimal(text.replace(",", "")) * MICROS
        micros = int(given) if given.is_finite() and given == given.to_integral_value() else -1
    except DecimalException:
        micros = -1
    if not least <= micros <= MOST_CREDITS * MICROS:
        bound = "above 0" if least else "of 0 or more"
        raise InvalidRequest(
            f"{param} must be a number {bound}, up to {MOST_CREDITS:,}, with at most six decimals", param=param
        )
    return micros
