"""Compares the catalogue's rows with published prices: what changed, what is not published, what is refused and why.

Pure. Prices of which nothing is published (`reasoning`, `request`, images) are not compared and stay as they are.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final, Protocol

from producer.pricelist.published import KEYS, DayPrices, Published

#: A price that changes by more than this factor is a mistake until an operator has written it himself.
MOST_FACTOR: Final = 10
#: The prices that are compared.
_PRICED: Final = (*KEYS, "long_context")
#: Those of which nothing is published.
_OWN: Final = ("reasoning", "request", "images")
#: What a change has anew or not at all; of the rest it has what the row has.
_REPLACED: Final = (*_PRICED, "service_tiers", "reasoning")

Table = dict[str, Any]


class PublishedPrices(Protocol):
    """What the comparison needs of the published prices."""

    def has(self, provider: str) -> bool: ...
    def find(self, provider: str, upstream: str) -> Published | None: ...


@dataclass(frozen=True)
class PriceDifference:
    """One price that differs; None: the row has none, or would have none any more.

    `key` is its path in the row; of a price to come `price_changes.2026-12-01.input`.
    """

    key: str
    old: int | None
    new: int | None

    @property
    def percent(self) -> float | None:
        """By how many percent the published price is higher."""
        return (self.new - self.old) / self.old * 100 if self.old and self.new is not None else None


@dataclass(frozen=True)
class PriceFinding:
    """What was found of one row."""

    model: str
    provider: str
    upstream: str
    changes: list[PriceDifference] = field(default_factory=list)
    #: The keys that the row would get.
    keys: Table = field(default_factory=dict)
    #: Prices of the row that are not published any more; they stay.
    unpublished: list[str] = field(default_factory=list)
    #: Why nothing is written; empty: it can be.
    refused: str = ""
    #: Why its prices to come are not written, whatever is with those of today.
    refused_to_come: str = ""
    retired: bool = False
    #: The next day on which its published price changes.
    changes_on: str = ""

    @property
    def acceptable(self) -> bool:
        """Whether an operator may accept it."""
        return bool(self.changes) and not self.refused


def findings(rows: Mapping[str, Mapping[str, Any]], prices: PublishedPrices, day: date) -> Iterator[PriceFinding]:
    """One for each row of a provider whose prices are published, and whose price is by the token."""
    for name, row in rows.items():
        provider, upstream = str(row["provider"]), str(row["upstream"])
        if not comparable(row, prices):
            continue
        if (found := prices.find(provider, upstream)) is None:
            yield PriceFinding(name, provider, upstream, refused="no price is published", retired=True)
            continue
        yield _compared(name, row, found, day)


def comparable(row: Mapping[str, Any], prices: PublishedPrices) -> bool:
    """Whether a row's prices are of the kind that is published, by a provider whose prices are.

    What a conductor counts are tokens of its own.
    """
    return prices.has(str(row["provider"])) and not (row.get("images") or row.get("conductor"))


def _compared(name: str, row: Mapping[str, Any], found: Published, day: date) -> PriceFinding:
    now = in_force(row, day)
    before, wanted = _priced(now, row), _published(found.now, row)
    after = _merged(before, wanted)
    keys = {key: value for key, value in after.items() if before.get(key) != value}
    changes = list(_changes(before, keys))
    then, late = _coming(found.coming, now, after)
    later = [] if late else list(_changes_to_come(now["price_changes"], then, after))
    late = late or _refused({}, {}, later)
    if later and not late:
        keys["price_changes"] = then
        changes += later
    if keys:
        keys = _as_own(row, now, keys)
    return PriceFinding(
        name,
        str(row["provider"]),
        str(row["upstream"]),
        changes,
        keys,
        list(_missing(before, wanted)),
        found.now.refused or _refused(before, wanted, changes),
        late,
        found.deprecated,
        found.coming[0].day.isoformat() if found.coming else "",
    )


def in_force(row: Mapping[str, Any], day: date) -> Table:
    """The row with the prices in force on a day, and with the changes after it."""
    changes: list[Table] = [{**one, "from": str(one["from"])} for one in row.get("price_changes", ())]
    begun = [one for one in changes if one["from"] <= day.isoformat()]
    made = dict(row)
    if begun:
        made = {key: value for key, value in row.items() if key not in _REPLACED} | begun[-1]
        del made["from"]
    return {**made, "price_changes": changes[len(begun) :]}


def _as_own(row: Mapping[str, Any], now: Mapping[str, Any], keys: Table) -> Table:
    """The keys that make the prices in force the row's own, where a change has begun; None: a key that goes."""
    if len(now["price_changes"]) == len(row.get("price_changes", ())):
        return keys
    own = {key: now.get(key) for key in (*_REPLACED, *_OWN) if now.get(key) != row.get(key)}
    return {**own, "price_changes": now["price_changes"], **keys}


def _priced(row: Mapping[str, Any], kind: Mapping[str, Any]) -> Table:
    """The prices of a table that are compared, with its tiers; of an embedding the input's alone."""
    keys = ("input",) if kind["type"] == "embedding" else (*_PRICED, "service_tiers")
    return {key: row[key] for key in keys if row.get(key)}


def _published(found: DayPrices, row: Mapping[str, Any]) -> Table:
    """The published prices of a day in the same form, with the tiers that the row sells."""
    made = dict(found.prices)
    if sold := row.get("service_tiers"):
        made["service_tiers"] = {name: found.tiers[name] for name in sold if name in found.tiers}
    return {key: value for key, value in made.items() if row["type"] != "embedding" or key == "input"}


def _merged(before: Mapping[str, Any], published: Mapping[str, Any]) -> Table:
    """The published prices over those of the row; one that is not published stays."""
    made = dict(before)
    for key, value in published.items():
        made[key] = _merged(before.get(key) or {}, value) if isinstance(value, Mapping) else value
    return made


def _missing(before: Mapping[str, Any], published: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """The paths of the row's prices that are not published."""
    for key, value in before.items():
        if key in _OWN:
            continue
        if key not in published:
            yield f"{within}{key}"
        elif isinstance(value, Mapping):
            yield from _missing(value, published[key], f"{within}{key}.")


def _coming(coming: Iterable[DayPrices], now: Mapping[str, Any], before: Table) -> tuple[list[Table], str]:
    """The row's `price_changes` as published; and why they cannot be written, if they cannot.

    What is not published for a day is what the row has for that day; where it has nothing, it cannot be known.
    """
    own = {key: now[key] for key in _OWN if now.get(key)}
    had: dict[str, Table] = {one["from"]: one for one in now["price_changes"]}
    made = []
    for one in coming:
        table = _merged(had.get(one.day.isoformat(), {}), _published(one, now))
        if refused := one.refused or next(_missing(before, table), ""):
            return [], f"from {one.day}: {one.refused or f'{refused} is not published'}"
        made.append({**own, **table, "from": one.day.isoformat()})
    return made, ""


def _changes_to_come(old: Iterable[Table], new: Iterable[Table], base: Mapping[str, Any]) -> Iterator[PriceDifference]:
    """What differs in the prices to come; a day that is new is compared with the prices until then."""
    had, before = {one["from"]: one for one in old}, base
    for table in new:
        compared = had.pop(table["from"], before)
        changed = {key: value for key, value in table.items() if key != "from" and compared.get(key) != value}
        for change in _changes(compared, changed):
            yield replace(change, key=f"price_changes.{table['from']}.{change.key}")
        before = table
    for day, gone in had.items():
        for change in _changes({}, {key: value for key, value in gone.items() if key != "from"}):
            yield PriceDifference(f"price_changes.{day}.{change.key}", change.new, None)


def _changes(row: Mapping[str, Any], keys: Mapping[str, Any]) -> Iterator[PriceDifference]:
    for key, value in keys.items():
        if not isinstance(value, Mapping):
            yield PriceDifference(key, row.get(key), value)
            continue
        before = row.get(key) or {}
        changed = {part: price for part, price in value.items() if before.get(part) != price}
        for one in _changes(before, changed):
            yield replace(one, key=f"{key}.{one.key}")


def _refused(before: Mapping[str, Any], wanted: Mapping[str, Any], changes: Iterable[PriceDifference]) -> str:
    for key in ("input", "output"):
        if before.get(key) and not wanted.get(key):
            return f"{key} would cost nothing"
    for change in changes:
        if change.key.endswith("long_context.above") or change.new is None:
            continue
        if change.old and not change.new:
            return f"{change.key} would cost nothing"
        if change.old and not 1 / MOST_FACTOR <= change.new / change.old <= MOST_FACTOR:
            return f"{change.key} would change by a factor of more than {MOST_FACTOR}"
    return ""
