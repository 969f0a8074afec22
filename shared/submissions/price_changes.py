"""Prices that change on a known day: which are in force at a moment, and the value that follows from them. Pure."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from shared.submissions.catalogue_rows import CatalogueModel
from shared.submissions.price_rows import DatedPrices, PriceTable

T = TypeVar("T")

#: The prices of a table, by their keys.
PRICES: Final = tuple(PriceTable.model_fields)


def due(model: CatalogueModel, micros: int) -> DatedPrices | None:
    """The last change that has begun at a moment; None: the row's own prices are in force."""
    begun = [one for one in model.price_changes if one.micros <= micros]
    return begun[-1] if begun else None


def changed(model: CatalogueModel, change: DatedPrices) -> CatalogueModel:
    """The model with the prices of one of its changes, and those after it still to come."""
    update = {name: getattr(change, name) for name in PRICES}
    if change.request is None:
        update["request"] = model.request
    update["images"] = change.images or model.images
    update["service_tiers"] = change.service_tiers
    update["price_changes"] = [one for one in model.price_changes if one.day > change.day]
    return model.model_copy(update=update)


def moments(models: Iterable[CatalogueModel]) -> tuple[int, ...]:
    """When prices change, in microseconds since the epoch, ascending."""
    return tuple(sorted({one.micros for model in models for one in model.price_changes}))


class Dated(Generic[T]):
    """Keeps what a value comes to until the next of its moments, so that asking costs two comparisons.

    It follows the clock in both directions: what is in force depends on the moment that is given alone.
    """

    def __init__(self, moments: Callable[[T], Sequence[int]], made: Callable[[T, int], T]) -> None:
        """`moments(value)`: when it changes, ascending; `made(value, moment)`: what it is then."""
        self._moments, self._make = moments, made
        self._kept: tuple[T, float, float, T] | None = None

    def at(self, value: T, micros: int) -> T:
        """What the value comes to at a moment."""
        kept = self._kept
        if kept is not None and kept[0] is value and kept[1] <= micros < kept[2]:
            return kept[3]
        times = self._moments(value)
        begun = bisect_right(times, micros)
        since = times[begun - 1] if begun else float("-inf")
        until = times[begun] if begun < len(times) else float("inf")
        made = self._make(value, micros)
        self._kept = (value, since, until, made)
        return made
