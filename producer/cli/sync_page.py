"""What `fusionai models sync` found, as people read it: a table of what differs, and a line for all else."""

from collections.abc import Iterator

from producer.cli.output import Output, micros_text
from producer.cli.tables import Column
from producer.pricelist.sync import PriceDifference, PriceFinding, Sync


def short_key(key: str) -> str:
    """The path of a price in fewer letters.

    >>> short_key("price_changes.2026-12-01.service_tiers.flex.long_context.input")
    '2026-12-01 flex long input'
    """
    words = [part for part in key.split(".") if part not in ("price_changes", "service_tiers")]
    return " ".join("long" if word == "long_context" else word for word in words)


_CHANGES = (
    Column("model"),
    Column("price", short=short_key, cut=2),
    Column("old", right=True),
    Column("new", right=True),
    Column("change", right=True, drop=1),
)
_NEW = (
    Column("provider", drop=1),
    Column("not in the catalogue"),
    Column("input", right=True),
    Column("output", right=True),
    Column("context", right=True, drop=2),
)


def show(output: Output, found: Sync) -> None:
    """Print it: all of it in a pipe, on a terminal within its width."""
    rows = [
        (one.model, change.key, *_prices(change), "" if change.percent is None else f"{change.percent:+.0f} %")
        for one in found.findings
        for change in one.changes
    ]
    output.table(_CHANGES, rows, empty="All prices are as published." if not found.findings else "No price differs.")
    said: dict[str, list[str]] = {}
    for one in found.findings:
        for note in _notes(one):
            said.setdefault(note, []).append(one.model)
    for note, names in said.items():
        output.remark(f"{', '.join(names)}: {note}")
    if found.new:
        output.line()
        listed = [
            (one.provider, one.id, micros_text(one.input), micros_text(one.output), one.context) for one in found.new
        ]
        output.table(_NEW, listed)
    for why, names in found.uncompared.items():
        output.remark(f"Not compared, {why}: {', '.join(names)}.")
    output.remark(f"Published prices: genai-prices {found.version}, of {found.day}; in credits per million tokens.")


def _prices(change: PriceDifference) -> tuple[str | None, str | None]:
    """Before and after; what is no price, the length from which a context is long, is in tokens."""
    if change.key.endswith("long_context.above"):
        return tuple(None if one is None else f"{one:,}" for one in (change.old, change.new))  # type: ignore[return-value]
    return micros_text(change.old), micros_text(change.new)


def _notes(one: PriceFinding) -> Iterator[str]:
    """What is to be said of a row beside its changes."""
    if one.retired:
        yield "retired" if not one.refused else f"{one.refused} any more; the row stays"
    elif one.refused:
        yield f"refused, {one.refused}"
    if one.refused_to_come:
        yield f"prices to come are refused, {one.refused_to_come}"
    for key in one.unpublished:
        yield f"{key} is not published; it stays"
