"""Keys of accounts as the command and the console show them: what each may do, and how its budgets stand."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from shared import accounts, clock, key_limits
from shared.key_limits import NO_LIMITS, KeyLimits
from shared.money import budget_periods, key_budgets, key_thresholds
from shared.money.budgets import BUDGET_PERIODS, BudgetPeriod
from shared.money.key_budgets import Spend
from shared.objects.amounts import credits

#: What a key has one of at least, if it is limited beside thresholds.
_LIMITS = (
    *("models", "fallbacks", "permissions", "requests_per_minute", "tokens_per_minute"),
    *(f"budget_{period}_micros" for period in BUDGET_PERIODS),
)
_TIMES = ("created_at", "expires_at", "revoked_at", "last_used_at")


def described(row: Mapping[str, Any]) -> dict[str, Any]:
    """A key without the key itself and its limits; times in seconds."""
    times = {name: clock.seconds(row[name]) for name in _TIMES}
    return {name: row[name] for name in ("id", "account_id", "mode", "name", "prefix")} | times


def limits(connection: Connection, id: str) -> dict[str, Any]:
    """What a key may do, and how its budgets stand; None: there is no such limit."""
    spend = key_budgets.of_key(connection, id, clock.now_micros())
    return limits_object(key_limits.of_key(connection, id), spend, key_thresholds.of_key(connection, id))


def listed(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """These keys with their limits; of those that have none little is asked."""
    return [{**described(row), **_limits_of(connection, row)} for row in rows]


def _limits_of(connection: Connection, row: Mapping[str, Any]) -> dict[str, Any]:
    if any(row[name] is not None for name in _LIMITS):
        return limits(connection, row["id"])
    return limits_object(NO_LIMITS, {}, key_thresholds.of_key(connection, row["id"]))


def page(connection: Connection, account_id: str, *, after: str | None, limit: int) -> list[dict[str, Any]]:
    """Keys of an account with their limits, the newest first, those made before `after`; one more than `limit`."""
    rows = accounts.newest_keys(connection, account_id, after=after, limit=limit + 1)
    return [{**described(row), **limits(connection, row["id"])} for row in rows]


def one(connection: Connection, account_id: str, id: str) -> dict[str, Any]:
    """A key of an account with its limits."""
    return {**described(accounts.read_key(connection, account_id, id)), **limits(connection, id)}


def limits_object(limits: KeyLimits, spend: Mapping[BudgetPeriod, Spend], thresholds: Sequence[Any]) -> dict[str, Any]:
    """A key's limits as --json shows them."""
    now = clock.now_micros()
    budgets = [
        {
            "period": one.period,
            "credits": credits(one.micros),
            "used_credits": credits(spend[one.period].spent),
            "held_credits": credits(spend[one.period].held),
            "renews_at": clock.seconds(budget_periods.renews_at(one.period, now)),
        }
        for one in limits.budgets
    ]
    return {
        "permissions": None if limits.permissions is None else sorted(limits.permissions),
        "models": _list(limits.rules.models),
        "fallbacks": _list(limits.rules.fallbacks),
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "budgets": budgets,
        "thresholds": [{"kind": one.kind, "credits": credits(one.level_micros)} for one in thresholds],
    }


def _list(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else list(names)
