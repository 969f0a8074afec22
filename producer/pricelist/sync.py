"""What `fusionai models sync` finds: rows whose prices are not those published, and how a row is written anew."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from producer.pricelist import compare, own_file, published
from producer.pricelist.compare import PriceDifference as PriceDifference
from producer.pricelist.compare import PriceFinding as PriceFinding
from shared.settings import settings
from shared.submissions.catalogue import checked, read_rows, why
from shared.submissions.catalogue_files import CatalogueError, Rows


class SyncError(Exception):
    """Nothing can be compared; the message says why."""


@dataclass(frozen=True)
class NewModel:
    """A published model that no row has as its upstream; prices in micro-credits per million tokens."""

    provider: str
    id: str
    input: int
    output: int
    context: int | None


@dataclass(frozen=True)
class Sync:
    """Everything that was found."""

    day: str
    version: str
    rows: Rows
    findings: list[PriceFinding] = field(default_factory=list)
    new: list[NewModel] = field(default_factory=list)
    #: Models that cannot be compared, by why.
    uncompared: dict[str, list[str]] = field(default_factory=dict)


def compared(day: date, providers: Collection[str], *, update: bool, new: bool, file: Path | None) -> Sync:
    """Compare the rows of these providers (of all, if none is named) with the prices published as of a day."""
    try:
        rows = read_rows(_existing(file))
        checked(rows)
        prices = published.prices(day, update=update)
    except (OSError, CatalogueError) as error:
        raise SyncError(f"cannot load the catalogue: {why(error)}") from None
    except published.PricesMissingError as error:
        raise SyncError(str(error)) from None
    if unknown := [name for name in providers if name not in rows.providers]:
        raise SyncError(f"the catalogue has no provider {unknown[0]!r}")
    chosen = {id: row.data for id, row in rows.models.items() if not providers or row.data["provider"] in providers}
    found = [one for one in compare.findings(chosen, prices, day) if _is_worth_saying(one)]
    missing = list(_missing(chosen, prices)) if new else []
    return Sync(day.isoformat(), published.version(), rows, found, missing, _uncompared(chosen, prices))


def _is_worth_saying(one: PriceFinding) -> bool:
    return bool(one.changes or one.unpublished or one.retired or one.refused or one.refused_to_come)


def _uncompared(rows: Mapping[str, Mapping[str, Any]], prices: published.Prices) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, row in rows.items():
        if not compare.comparable(row, prices):
            known = prices.has(str(row["provider"]))
            why = "priced per image" if known else f"prices of {row['provider']} are not published"
            found.setdefault(why, []).append(name)
    return found


def _existing(file: Path | None) -> str:
    """The file to read; one that is not there yet is about to be made."""
    name = str(file) if file else settings().catalogue
    return name if name and Path(name).exists() else ""


def _missing(rows: Mapping[str, Mapping[str, Any]], prices: published.Prices) -> list[NewModel]:
    found = []
    for provider in dict.fromkeys(row["provider"] for row in rows.values()):
        upstreams = [str(row["upstream"]) for row in rows.values() if row["provider"] == provider]
        for model, one in prices.each(provider):
            given = one.prices.get("input", 0), one.prices.get("output", 0)
            if not one.deprecated and all(given) and not any(model.is_match(upstream) for upstream in upstreams):
                found.append(NewModel(provider, one.id, *given, one.context))
    return found


def written(found: Sync, one: PriceFinding, path: Path) -> own_file.Edit:
    """The edit that gives a row its published prices: in the operator's file, where the row is copied to if need be."""
    own = own_file.rows_of(path)
    if one.model in own and not any(isinstance(value, Mapping | list) for value in one.keys.values()):
        return own_file.with_keys(one.model, one.keys)
    given = {**found.rows.models[one.model].data, **one.keys}
    row = {key: value for key, value in given.items() if value is not None and (value or key != "price_changes")}
    comment = f"Prices: genai-prices {found.version}, of {found.day}; the rest as shipped on that day."
    return own_file.with_row(one.model, row, comment)


def as_object(found: Sync, accepted: Collection[str]) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "object": "sync",
        "day": found.day,
        "genai_prices": found.version,
        "models": [{**asdict(one), "accepted": one.model in accepted} for one in found.findings],
        "new": [asdict(one) for one in found.new],
        "uncompared": found.uncompared,
    }
