"""What a key may do, as options of commands that set it, and as they show it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click

from producer.cli.amounts import micros_of
from producer.cli.output import Output, credits_text, moment
from shared.errors import InvalidRequest
from shared.key_limits import Change
from shared.money.budgets import BUDGET_PERIODS, BudgetPeriod
from shared.money.key_thresholds import KINDS, Kind
from shared.money.plans import MOST_REQUESTS_PER_MINUTE
from shared.permissions import PERMISSIONS
from shared.submissions.catalogue import catalogue

#: Instead of a value: the limit is taken away.
NONE: Final = "none"
_OPTIONS: Final = {
    "models": "--model",
    "fallbacks": "--fallback",
    "permissions": "--permission",
    "thresholds": "--threshold",
    "budgets": "--budget",
}
_PERIODS: Final[Mapping[str, BudgetPeriod]] = {period: period for period in BUDGET_PERIODS}


def limit_options(*, sets: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a key's limits. `sets`: of a key that is there, so that limits can be removed."""
    away = "; none: no limit" if sets else ""
    models = "A model that the key may use, by name or pattern (claude-*); repeat it."
    fallbacks = "A default fallback, instead of those of the catalogue; repeat it. none: no fallbacks"
    options = [
        click.option("--model", "models", multiple=True, metavar="ID", help=models + (" any: all." if sets else "")),
        click.option(
            "--budget",
            "budgets",
            multiple=True,
            metavar="N/PERIOD",
            help="Credits a day, month or total, such as 100/month; repeat it for several"
            + ("; none/month: no limit." if sets else "."),
        ),
        click.option(
            "--threshold",
            "thresholds",
            multiple=True,
            metavar="N/KIND",
            help="Send credit.threshold at N credits spent in a month (80/spent) or remaining of the tightest budget "
            "(20/remaining); repeat it" + ("; none: no thresholds." if sets else "."),
        ),
        click.option(
            "--permission",
            "permissions",
            multiple=True,
            metavar="NAME",
            help=f"What the key may do: {', '.join(PERMISSIONS)} (write includes read); repeat it. all: everything"
            + (", as keys may that have none." if not sets else "."),
        ),
        click.option("--requests-per-minute", "requests", metavar="N", help=f"Requests a minute{away}."),
        click.option("--tokens-per-minute", "tokens", metavar="N", help=f"Tokens a minute{away}."),
        click.option(
            "--fallback",
            "fallbacks",
            multiple=True,
            metavar="ID",
            help=fallbacks + ("; default: its account's." if sets else "."),
        ),
    ]

    def decorated(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorated


def change_of(
    models: Sequence[str],
    budgets: Sequence[str],
    requests: str | None,
    tokens: str | None,
    fallbacks: Sequence[str],
    thresholds: Sequence[str],
    permissions: Sequence[str] = (),
) -> Change:
    """What the options set; a usage error says what cannot be."""
    values: dict[str, Any] = {}
    if models:
        values["models"] = None if list(models) == ["any"] else list(models)
    if permissions:
        values["permissions"] = None if list(permissions) == ["all"] else list(dict.fromkeys(permissions))
    if fallbacks:
        values["fallbacks"] = named_fallbacks(fallbacks)
    for name, given in (("requests_per_minute", requests), ("tokens_per_minute", tokens)):
        if given is not None:
            values[name] = None if given == NONE else _number(name, given)
    try:
        return Change(values, _budgets(budgets), _levels(thresholds)).checked(catalogue())
    except InvalidRequest as error:
        raise click.UsageError(_of_option(error.message)) from None


def _of_option(message: str) -> str:
    """An error about a field of a key as one about the option that sets it."""
    field, colon, rest = message.partition(":")
    option = _OPTIONS.get(field.partition("[")[0])
    return f"{option}{colon}{rest}" if option else message


def _budgets(given: Sequence[str]) -> dict[BudgetPeriod, int | None]:
    found: dict[BudgetPeriod, int | None] = {}
    for period, micros in map(_budget, given):
        if period in found:
            raise click.UsageError(f"--budget: a {period} budget is given twice")
        found[period] = micros
    return found


def named_fallbacks(given: Sequence[str]) -> list[str] | None:
    """The fallbacks that an option names: none at all, or (None) those of the level above."""
    words: dict[str, list[str] | None] = {NONE: [], "default": None}
    return words[given[0]] if len(given) == 1 and given[0] in words else list(given)


def fields(found: Mapping[str, Any]) -> dict[str, str]:
    """The same as words, by name."""
    said = {
        "permissions": ", ".join(found["permissions"]) if found["permissions"] is not None else "all",
        "models": ", ".join(found["models"]) if found["models"] is not None else "all",
        "requests per minute": _limit(found["requests_per_minute"]),
        "tokens per minute": _limit(found["tokens_per_minute"]),
        "fallbacks": fallbacks_text(found["fallbacks"]),
    }
    if found["thresholds"]:
        levels = (f"{credits_text(one['credits'])} {one['kind']}" for one in found["thresholds"])
        said["thresholds"] = ", ".join(levels)
    if not found["budgets"]:
        said["budget"] = "no limit"
    return said


def in_short(found: Mapping[str, Any]) -> str:
    """What is limited, for a row: `gpt-4, claude-*; 3 of 5/month; 60/min`; empty: nothing is."""
    budgets = [
        f"{credits_text(one['used_credits'])} of {credits_text(one['credits'])}/{one['period']}"
        for one in found["budgets"]
    ]
    names = [", ".join(found[name] or ()) for name in ("models", "permissions")]
    rates = {"requests_per_minute": "requests/min", "tokens_per_minute": "tokens/min"}
    each = [f"{found[name]:,} {unit}" for name, unit in rates.items() if found[name] is not None]
    return "; ".join(filter(None, [*names, *budgets, *each]))


def is_used_up(found: Mapping[str, Any]) -> bool:
    """Whether a budget of a key leaves nothing for now."""
    return any(one["used_credits"] + one["held_credits"] >= one["credits"] for one in found["budgets"])


def budget_table(output: Output, found: Mapping[str, Any]) -> None:
    """Its budgets as a table."""
    cells = [
        [
            one["period"],
            credits_text(one["credits"]),
            credits_text(one["used_credits"]),
            credits_text(one["held_credits"]),
            moment(one["renews_at"]) or "never",
        ]
        for one in found["budgets"]
    ]
    if cells:
        output.line()
        output.table(["budget", "credits", "used", "held", "renews"], cells)


def fallbacks_text(names: Sequence[str] | None) -> str:
    """Default fallbacks in words."""
    return "those of the catalogue" if names is None else ", ".join(names) or "none"


def _limit(number: int | None) -> str:
    return "no limit" if number is None else f"{number:,}"


def _budget(given: str) -> tuple[BudgetPeriod, int | None]:
    amount, _, name = given.partition("/")
    period = _PERIODS.get(name)
    if period is None:
        raise click.UsageError(f"--budget: {given!r} must be such as 100/day, 100/month or 100/total")
    if amount == NONE:
        return period, None
    return period, micros_of(amount, "--budget: ")


def _levels(given: Sequence[str]) -> list[tuple[Kind, int]] | None:
    """Thresholds as kinds and levels; None: they stay."""
    if not given or list(given) == [NONE]:
        return [] if given else None
    return [_level(one) for one in given]


def _level(given: str) -> tuple[Kind, int]:
    amount, _, name = given.partition("/")
    kind = next((one for one in KINDS if one == name), None)
    if kind is None:
        raise click.UsageError(f"--threshold: {given!r} must be such as 80/spent or 20/remaining")
    return kind, micros_of(amount, "--threshold: ")


def _number(name: str, given: str) -> int:
    option = f"--{name.replace('_', '-')}"
    if not (given.isascii() and given.isdigit() and len(given) < 16):
        raise click.UsageError(f"{option}: {given!r} is no number, from 1 to {MOST_REQUESTS_PER_MINUTE:,}")
    return int(given)
