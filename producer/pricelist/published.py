"""Published prices of models, from the data of the package genai-prices, as keys of the catalogue's rows.

Source: github.com/pydantic/genai-prices. Its prices are US dollars per million tokens; a credit is a US cent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import ModuleType
from typing import Any, Final

#: Micro-credits of a dollar.
PER_DOLLAR: Final = 100_000_000
#: The row's key of each of its prices.
KEYS: Final = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "output": "output_mtok",
}


class PricesMissingError(Exception):
    """The package of published prices cannot be used; the message says why."""


@dataclass(frozen=True)
class DayPrices:
    """The prices of one model from a day on."""

    day: date
    #: Keys of a catalogue row; `long_context` too.
    prices: dict[str, Any] = field(default_factory=dict)
    #: The same of service tiers, by name.
    tiers: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Why its prices cannot be used; empty: they can.
    refused: str = ""


@dataclass(frozen=True)
class Published:
    """The prices of one model, those of a day and those to come, and what is known of it besides."""

    id: str
    now: DayPrices
    coming: list[DayPrices] = field(default_factory=list)
    context: int | None = None
    deprecated: bool = False

    @property
    def prices(self) -> dict[str, Any]:
        """Keys of a catalogue row, of the day."""
        return self.now.prices


class Prices:
    """The published prices as of a day."""

    def __init__(self, providers: Sequence[Any], day: date) -> None:
        self._providers = {provider.id: provider for provider in providers}
        self._day = day

    def has(self, provider: str) -> bool:
        """Whether models of a provider have published prices."""
        return provider in self._providers

    def find(self, provider: str, upstream: str) -> Published | None:
        """The prices of a provider's model; None where none are published."""
        if not (found := self._providers.get(provider)) or not (model := found.find_model(upstream)):
            return None
        return self._published(model)

    def each(self, provider: str) -> Iterator[tuple[Any, Published]]:
        """All models of a provider, each with its own data."""
        for model in self._providers[provider].models if provider in self._providers else ():
            yield model, self._published(model)

    def _published(self, model: Any) -> Published:
        now = _of_day(model, self._day)
        coming, before = [], now
        for day in _starts(model, self._day):
            then = _of_day(model, day)
            if (then.prices, then.tiers, then.refused) != (before.prices, before.tiers, before.refused):
                coming.append(then)
            before = then
        return Published(model.id, now, coming, model.context_window, bool(model.deprecated))


def prices(day: date, *, update: bool = False) -> Prices:
    """Those of the installed package; `update`: the newest, by the package's own updater, over the network."""
    package = _package()
    if not update:
        return Prices(package.data_snapshot.get_snapshot().providers, day)
    try:
        snapshot = package.UpdatePrices().fetch()
    except Exception as error:
        raise PricesMissingError(f"the newest prices could not be fetched: {error}") from None
    return Prices(snapshot.providers, day)


def version() -> str:
    """Which release of the package it is."""
    from importlib.metadata import version as of

    return of("genai-prices")


def _package() -> ModuleType:
    try:
        import genai_prices
        import genai_prices.data_snapshot
    except ImportError as error:
        raise PricesMissingError(f"genai-prices cannot be imported ({error}): pip install genai-prices") from None
    return genai_prices


def _of_day(model: Any, day: date) -> DayPrices:
    try:
        return DayPrices(day, _keys(_on(model.prices, day)), dict(_tiers(model, day)))
    except ValueError as error:
        return DayPrices(day, refused=str(error))


def _starts(model: Any, day: date) -> list[date]:
    """The days after a day on which a price of a model begins, ascending."""
    given = [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
    starts = {getattr(one.constraint, "start_date", None) for one in given}
    return sorted(start for start in starts if start is not None and start > day)


def _on(prices: Any, day: date) -> Any:
    """The prices on a day; the highest, if they differ by the hour."""
    if not isinstance(prices, list):
        return prices
    noon = datetime.combine(day, time(12), UTC)
    held = [prices[0].prices]
    for one in prices:
        start = getattr(one.constraint, "start_date", None)
        if one.constraint is None or (start is not None and one.constraint.active(noon)):
            held = [one.prices]
        elif start is None:
            held.append(one.prices)
    return max(held, key=_dearness)


def _tiers(model: Any, day: date) -> Iterator[tuple[str, dict[str, Any]]]:
    """The prices of the model's service tiers on a day."""
    noon = datetime.combine(day, time(12), UTC)
    for variant in model.price_variants or ():
        active = variant.constraint is None or variant.constraint.active(noon)
        if active and set(variant.when) == {"service_tier"} and (keys := _keys(variant.prices)):
            yield variant.when["service_tier"], keys


def _dearness(prices: Any) -> tuple[Decimal, Decimal]:
    return _base(prices.output_mtok) or Decimal(0), _base(prices.input_mtok) or Decimal(0)


def _base(price: Any) -> Decimal | None:
    found: Decimal | None = getattr(price, "base", price)
    return found


def _keys(prices: Any) -> dict[str, Any]:
    """The keys of a row; ValueError says which price cannot be one."""
    found: dict[str, Any] = {}
    above: set[int] = set()
    dearer: dict[str, int] = {}
    for key, name in KEYS.items():
        if (price := getattr(prices, name)) is None:
            continue
        found[key] = _micros(key, _base(price))
        if tiers := getattr(price, "tiers", None):
            if len(tiers) > 1:
                raise ValueError(f"{key} has more than two prices by the length of the input")
            above.add(tiers[0].start)
            dearer[key] = _micros(key, tiers[0].price)
    if len(above) > 1:
        raise ValueError("its prices change at more than one length of the input")
    if above:
        found["long_context"] = {"above": above.pop(), **dearer}
    return found


def _micros(key: str, dollars: Decimal | None) -> int:
    value = Decimal(dollars or 0) * PER_DOLLAR
    if value != int(value) or value < 0:
        raise ValueError(f"{key} of {dollars} dollars is no whole number of micro-credits")
    return int(value)
