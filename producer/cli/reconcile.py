"""fusionai reconcile: a provider's export of usage or cost beside the ledger."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from producer.cli.activity import working
from producer.cli.operator import operator_command
from producer.cli.output import Output, credits_text
from producer.cli.tables import Column
from producer.reconcile import exports
from producer.reconcile.comparing import Comparison, Group, Reconciler
from producer.reconcile.exported import NANOS_OF_DOLLAR, ExportError, day_of
from producer.reconcile.ledger_calls import LedgerCall, calls
from shared import clock
from shared.db import Database
from shared.submissions.catalogue import Catalogue, catalogue

_GROUPS = [
    Column("day"),
    Column("model", text=True),
    Column("calls", right=True),
    Column("drift", right=True),
    Column("repeated", right=True),
    Column("missing", right=True, drop=2),
    Column("cost", right=True, drop=1),
    Column("charged", right=True),
]
_DRIFTS = [
    Column("day"),
    Column("model", text=True),
    Column("of"),
    Column("provider", right=True),
    Column("ledger", right=True),
    Column("drift", right=True),
]
_REPEATED = [Column("request id", text=True), Column("day"), Column("model", drop=1), Column("tokens", right=True)]
_MISSING = [Column("charged job"), Column("request id", text=True, drop=1), Column("day"), Column("model", drop=2)]
_CLASSES = {"write_5m": "cache writes (5 min)", "write_1h": "cache writes (1 h)", "cached": "cached input"}
#: Nanos (thousandths of a micro-credit) of a credit.
_NANOS_OF_CREDIT = NANOS_OF_DOLLAR // 100


class _Share(click.ParamType[float]):
    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            share = float(str(value).removesuffix("%")) / (100 if str(value).endswith("%") else 1)
        except ValueError:
            self.fail(f"{value!r} is no share: 0.5% or 0.005", param, ctx)
        if not 0 <= share < 1:
            self.fail(f"{value!r} is not between 0 and 100%", param, ctx)
        return share


def _day(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else day_of(value, "")
    except ExportError:
        raise click.BadParameter(f"{value!r} is no day, such as 2026-11-29") from None


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--provider", metavar="NAME", help="Whose export it is, if the file does not say (openai, azure …).")
@click.option("--from", "first", metavar="DAY", callback=_day, help="The first day (UTC). Default: the file's.")
@click.option("--to", "last", metavar="DAY", callback=_day, help="The last day (UTC). Default: the file's.")
@click.option("--tolerance", type=_Share(), metavar="SHARE", default="0", show_default=True, help="Such as 0.5%.")
@operator_command
def reconcile(
    database: Database, output: Output, file: Path, provider: str | None, first: str | None, last: str | None,
    tolerance: float,
) -> None:  # fmt: skip
    """Compare a provider's export of usage or cost with the ledger.

    FILE: OpenAI's usage and costs or Anthropic's usage_report and cost_report as JSON (one page a line, if there are
    many), their consoles' CSV, or any CSV with a header: request_id, created_at, model, input_tokens, cached_tokens,
    output_tokens, cost_usd. Calls are matched by request id where the file has them, else added up by day and model.

    Exit status 1 when the two differ by more than the tolerance, or when calls are unaccounted for.
    """
    known = catalogue()
    if provider is not None and provider not in known.providers:
        raise click.UsageError(f"no provider {provider[:40]!r}; the catalogue has {', '.join(sorted(known.providers))}")
    try:
        with Reconciler(first, last) as reconciler:
            reconciler.take(exports.rows(file, provider))
            days, names = _found(reconciler, file, provider)
            with working(output, "Reading the ledger"):
                reconciler.check(_ledger(database, known, days, names))
            upstreams = {model.upstream for model in known.models.values() if model.provider in names}
            result = reconciler.result(upstreams)
    except ExportError as error:
        raise click.ClickException(str(error)) from None

    def words() -> None:
        _show(output, result, tolerance, days, names)
        for sentence in _misnamed(result, known):
            output.prose(sentence)

    output.value(_as_json(result, tolerance, days, names), words)
    if not result.is_exact(tolerance):
        raise SystemExit(1)


def _found(reconciler: Reconciler, file: Path, provider: str | None) -> tuple[tuple[str, str], set[str]]:
    """The days and the providers of what was read."""
    if reconciler.days is None:
        raise ExportError(file.name, "has no usage in this time")
    names = {provider} if provider else reconciler.providers
    if not names:
        raise ExportError(file.name, "does not say whose it is: give --provider")
    return reconciler.days, names


def _ledger(database: Database, known: Catalogue, days: tuple[str, str], providers: set[str]) -> Iterator[LedgerCall]:
    """The ledger's calls of these providers, of these days and those beside them."""
    first, last = (
        clock.utc(clock.day_begin(day, by)).date().isoformat() for day, by in zip(days, (-1, 1), strict=True)
    )
    return (call for call in calls(database, known, first, last) if call.provider in providers)


def _as_json(result: Comparison, tolerance: float, days: tuple[str, str], providers: set[str]) -> dict[str, Any]:
    groups = [
        {
            "day": group.day,
            "model": group.model or None,
            "provider": dict(group.theirs),
            "ledger": dict(group.ours),
            "drift": group.drift,
            "repeated": dict(group.unknown),
            "uncharged": dict(group.uncharged),
            "missing": group.missing,
            "estimated": group.estimated,
            "lost_with_workers": group.perhaps,
            "cost": None if group.cost_nanos is None else group.cost_nanos / _NANOS_OF_CREDIT,
            "charged": group.charged_micros / clock.MICROS,
        }
        for group in result.groups
    ]
    return {
        "exact": result.is_exact(tolerance),
        "providers": sorted(providers),
        "from": days[0],
        "to": days[1],
        "by_request_id": result.by_request_id,
        "calls": {
            "matched": result.calls("ours"),
            "uncharged": result.calls("uncharged"),
            "repeated": result.calls("unknown"),
            "lost_with_workers": result.total("perhaps"),
            "unexplained": result.unexplained,
            "missing": result.uncounted,
        },
        "groups": groups,
        "repeated": result.repeated,
        "missing": result.missing,
    }


def _show(output: Output, result: Comparison, tolerance: float, days: tuple[str, str], providers: set[str]) -> None:
    how = "by request id" if result.by_request_id else "by day and model"
    output.line(f"{', '.join(sorted(providers))}, {days[0]} to {days[1]} (UTC), {how}")
    output.line()
    output.table(_GROUPS, [_group(group) for group in result.groups], empty="No calls.")
    drifts = [
        [
            group.day,
            group.model or "all",
            _CLASSES.get(name, name),
            f"{group.theirs[name]:,}",
            f"{group.ours[name]:,}",
            f"{by:+,}",
        ]
        for group in result.groups
        for name, by in group.drift.items()
    ]
    for columns, rows in (
        (_DRIFTS, drifts),
        (_REPEATED, [[one[name] for name in ("request_id", "day", "model", "tokens")] for one in result.repeated]),
        (_MISSING, [[one["job"], one["request_id"], one["day"], one["model"]] for one in result.missing]),
    ):
        if rows:
            output.line()
            output.table(columns, rows)
    output.line()
    for sentence in _sentences(result, tolerance):
        output.prose(sentence)


def _group(group: Group) -> list[object]:
    drift = sum(count for name, count in group.drift.items() if name not in ("calls", "images"))
    cost = None if group.cost_nanos is None else credits_text(group.cost_nanos / _NANOS_OF_CREDIT)
    repeated = group.unknown["calls"] + group.uncharged["calls"]
    return [
        *(group.day, group.model or "all", f"{group.ours['calls']:,}", f"{drift:+,}" if drift else "0"),
        *(f"{repeated:,}", f"{group.missing:,}", cost, credits_text(group.charged_micros / clock.MICROS)),
    ]


def _misnamed(result: Comparison, known: Catalogue) -> Iterator[str]:
    """What in the file has a name of ours rather than the provider's."""
    upstreams = {model.upstream for model in known.models.values()}
    for name in sorted({group.model for group in result.groups} - upstreams):
        if name in known.models:
            upstream = known.models[name].upstream
            yield f"{name} is our name of what its provider calls {upstream}: the file needs that name."


def _sentences(result: Comparison, tolerance: float) -> Iterator[str]:
    repeated, lost, uncharged = result.calls("unknown"), result.total("perhaps"), result.calls("uncharged")
    if uncharged:
        yield f"Answered and charged to nobody, since the answers were of no use: {uncharged:,}."
    if repeated:
        yield f"Counted by the provider, and no job's: {repeated:,}. Lost with workers, or broken off: {lost:,}."
    if result.unexplained:
        yield f"Unexplained: {result.unexplained:,}."
    if result.uncounted:
        yield f"Charged, and not counted by the provider: {result.uncounted:,}."
    if estimated := result.total("estimated"):
        yield f"With tokens that were counted here, since the provider did not tell: {estimated:,}."
    losses = [(group, group.loss_nanos(tolerance)) for group in result.groups]
    for group, nanos in losses:
        if nanos:
            more = credits_text(nanos / _NANOS_OF_CREDIT)
            model = group.model or "all models"
            yield f"{group.day}, {model}: costs {more} credits more than was charged; check the price in the catalogue."
    within = f" of more than {tolerance:.3%}" if tolerance else ""
    yield f"No drift{within}." if result.is_exact(tolerance) else f"Drift{within}: the two do not agree."
