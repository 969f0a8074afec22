"""Reads `fusionai up --simulate`: `latency=1-3,fail=5%,limit=600`. Pure."""

from collections.abc import Callable

EXAMPLE = "latency=2,fail=5%,limit=600"


class SimulationError(ValueError):
    """An invalid --simulate; the message names the part and what is valid there."""


def arguments(text: str) -> list[str]:
    """The simulator's own arguments for it.

    >>> arguments("latency=1-3,fail=5%")
    ['--latency', '1-3', '--fail', '0.05']
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in PARTS:
            raise SimulationError(f"{part.strip()!r}: valid are {', '.join(PARTS)}, such as {EXAMPLE}")
        if name in found:
            raise SimulationError(f"{name} is given twice")
        found[name] = _read(name, value)
    return [word for name, value in found.items() for word in (f"--{name}", value)]


def _read(name: str, value: str) -> str:
    read, right = PARTS[name]
    try:
        return read(value)
    except ValueError:
        raise SimulationError(f"{name}={value}: {right}") from None


def _latency(value: str) -> str:
    least, dash, most = value.partition("-")
    bounds = [_number(one.removesuffix("s")) for one in ((least, most) if dash else (least,))]
    if bounds != sorted(bounds):
        raise ValueError
    return "-".join(f"{one:g}" for one in bounds)


def _fail(value: str) -> str:
    share = _number(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    if share > 1:
        raise ValueError
    return f"{share:g}"


def _limit(value: str) -> str:
    rate = _number(value.removesuffix("/min"))
    if not rate:
        raise ValueError
    return f"{rate:g}"


def _number(text: str) -> float:
    """Digits with a point at most: no sign, no exponent, no infinity."""
    if not (text.isascii() and text.replace(".", "", 1).isdecimal()):
        raise ValueError
    return float(text)


#: Name → how its value is read, and what is valid.
PARTS: dict[str, tuple[Callable[[str], str], str]] = {
    "latency": (_latency, "seconds before each answer, such as 2 or 0.5-3"),
    "fail": (_fail, "the share of calls that fail with 500, 429 or 503, such as 5% or 0.05"),
    "limit": (_limit, "requests per minute that each provider accepts, more than 0, such as 600"),
}
