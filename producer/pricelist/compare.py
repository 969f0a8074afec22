"""Compares the catalogue's rows with published prices: what changed, and what is refused and why. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from producer.pricelist.published import KEYS, Published
from shared.submissions.catalogue_rows import CatalogueModel

#: A price that changes by more than this factor is a mistake until an operator has written it himself.
MOST_FACTOR: Final = 10
#: The prices that are compared: those that a row of this release can have.
_PRICED: Final = [key for key in (*KEYS, "long_context") if key in CatalogueModel.model_fields]


class PublishedPrices(Protocol):
    """What the comparison needs of the published prices."""

    def has(self, provider: str) -> bool: ...
    def find(self, provider: str, upstream: str) -> Published | None: ...


@dataclass(frozen=True)
class Change:
    """One price that differs; None: the row has none, or none is published."""

    key: str
    old: int | None
    new: int | None

    @property
    def percent(self) -> float | None:
        """By how many percent the published price is higher."""
        return (self.new - self.old) / self.old * 100 if self.old and self.new is not None else None


@dataclass(frozen=True)
class Finding:
    """What was found of one row."""

    model: str
    provider: str
    upstream: str
    changes: list[Change] = field(default_factory=list)
    #: The keys that the row would get.
    keys: dict[str, Any] = field(default_factory=dict)
    #: Why nothing is written; empty: it can be.
    refused: str = ""
    retired: bool = False
    changes_on: str = ""

    @property
    def acceptable(self) -> bool:
        """Whether an operator may accept it."""
        return bool(self.changes) and not self.refused


def findings(rows: Mapping[str, Mapping[str, Any]], prices: PublishedPrices) -> Iterator[Finding]:
    """One for each row of a provider whose prices are published, and whose price is by the token."""
    for name, row in rows.items():
        provider, upstream = str(row["provider"]), str(row["upstream"])
        if not prices.has(provider) or row.get("images"):
            continue
        if (found := prices.find(provider, upstream)) is None:
            yield Finding(name, provider, upstream, refused="no price is published", retired=True)
            continue
        yield _compared(name, row, found)


def _compared(name: str, row: Mapping[str, Any], found: Published) -> Finding:
    wanted = {key: value for key, value in found.prices.items() if row["type"] != "embedding" or key == "input"}
    keys = {key: wanted[key] for key in _PRICED if key in wanted and wanted[key] != row.get(key)}
    sold: Mapping[str, Any] = row.get("service_tiers") or {}
    tiers = {name: {**given, **found.tiers.get(name, {})} for name, given in sold.items()}
    if tiers != sold:
        keys["service_tiers"] = tiers
    changes = list(_changes(row, keys))
    refused = found.refused or _refused(row, wanted, changes)
    on = found.changes_on.isoformat() if found.changes_on else ""
    return Finding(name, str(row["provider"]), str(row["upstream"]), changes, keys, refused, found.deprecated, on)


def _changes(row: Mapping[str, Any], keys: Mapping[str, Any]) -> Iterator[Change]:
    for key, value in keys.items():
        if not isinstance(value, Mapping):
            yield Change(key, row.get(key), value)
            continue
        before = row.get(key) or {}
        changed = {part: price for part, price in value.items() if before.get(part) != price}
        for one in _changes(before, changed):
            yield replace(one, key=f"{key}.{one.key}")


def _refused(row: Mapping[str, Any], wanted: Mapping[str, Any], changes: Iterable[Change]) -> str:
    for key in ("input", "output"):
        if row.get(key) and not wanted.get(key):
            return f"{key} would cost nothing"
    for change in changes:
        if change.key.endswith("long_context.above"):
            continue
        if change.old and not change.new:
            return f"{change.key} would cost nothing"
        if change.old and change.new and not 1 / MOST_FACTOR <= change.new / change.old <= MOST_FACTOR:
            return f"{change.key} would change by a factor of more than {MOST_FACTOR}"
    return ""
