"""Amounts of credits, and times, as operators type them."""

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import click

from shared import clock
from shared.clock import MICROS

#: Credits in one grant or adjustment.
MOST_GRANTED = 10**9
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def micros_of(amount: str, of: str = "") -> int:
    """A positive decimal number of credits in micro-credits, exactly. `of`: what an error begins with."""
    try:
        given = Decimal(amount)
    except InvalidOperation:
        raise click.BadParameter(f"{of}{amount!r} is not a number of credits") from None
    if given.is_finite() and given > MOST_GRANTED:
        raise click.BadParameter(f"{of}{amount!r}: at most {MOST_GRANTED:,} credits")
    if not given.is_finite() or given <= 0 or (micros := given * MICROS) != int(micros):
        raise click.BadParameter(f"{of}{amount!r}: credits are above zero and have at most six decimals")
    return int(micros)


def signed_micros_of(amount: str) -> int:
    """The same of a number with a sign before it, or none: `-5`, `+5`, `5`."""
    number = amount[1:] if amount.startswith(("-", "−", "+")) else amount
    if not number[:1].isdigit() and not number.startswith("."):
        raise click.BadParameter(f"{amount!r} is not a number of credits")
    return micros_of(number) * (-1 if amount.startswith(("-", "−")) else 1)


def expiry(when: str) -> int:
    """`30d`, `12h`, `90m`, `90s` or a UTC date, in microseconds since the epoch; it must lie ahead."""
    now = clock.now_micros()
    if match := re.fullmatch(r"([0-9]{1,5})([smhd])", when):
        until = now + int(match[1]) * _UNIT_SECONDS[match[2]] * MICROS
    else:
        try:
            date = datetime.fromisoformat(when)
        except ValueError:
            raise click.BadParameter(f"--expires: {when!r} is neither such as 30d, 12h or 90m, nor a date") from None
        until = int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()) * MICROS
    if until <= now:
        raise click.BadParameter(f"--expires: {when!r} is not in the future")
    return until
