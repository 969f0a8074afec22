"""Daily usage of each account and model, and of each key, added up in the transaction that settles the jobs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from shared import clock, db
from shared.db.models import daily_usage, key_usage

_KEYS = ("account_id", "day", "test", "model")
_KEYS_BY_KEY = (*_KEYS, "key_id")
#: What is added up of jobs.
AMOUNTS = ("jobs", "prompt_tokens", "completion_tokens", "images", "charged_micros")
_SUMS = (*AMOUNTS, "single_jobs", *(f"batch_{name}" for name in AMOUNTS))


@dataclass(frozen=True, slots=True)
class Used:
    """What one job that succeeded used, and what it was charged."""

    account_id: str
    test: bool
    model: str
    prompt_tokens: int
    completion_tokens: int
    images: int
    charged_micros: int
    key_id: str
    #: Of a batch, whose statement lists it; of a single job the month's does.
    of_batch: bool = False


def record(connection: Connection, used: Iterable[Used], now: int) -> None:
    """Add jobs to the day of `now`, the instant of their settlement; under the locks of their accounts."""
    day = clock.utc(now).strftime("%Y-%m-%d")
    by_model: dict[tuple[Any, ...], dict[str, Any]] = {}
    by_key: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in used:
        place = (one.account_id, day, one.test, one.model)
        _add(by_model, _KEYS, place, one)
        _add(by_key, _KEYS_BY_KEY, (*place, one.key_id), one)
    db.add_rows(connection, daily_usage, [by_model[place] for place in sorted(by_model)], keys=_KEYS, sums=_SUMS)
    rows = [{name: by_key[place][name] for name in (*_KEYS_BY_KEY, *AMOUNTS)} for place in sorted(by_key)]
    db.add_rows(connection, key_usage, rows, keys=_KEYS_BY_KEY, sums=AMOUNTS)


def _add(
    rows: dict[tuple[Any, ...], dict[str, Any]], names: tuple[str, ...], place: tuple[Any, ...], one: Used
) -> None:
    if (row := rows.get(place)) is None:
        row = rows[place] = {**dict(zip(names, place, strict=True)), **dict.fromkeys(_SUMS, 0)}
    row["single_jobs"] += not one.of_batch
    for which in ("", "batch_") if one.of_batch else ("",):
        row[f"{which}jobs"] += 1
        row[f"{which}prompt_tokens"] += one.prompt_tokens
        row[f"{which}completion_tokens"] += one.completion_tokens
        row[f"{which}images"] += one.images
        row[f"{which}charged_micros"] += one.charged_micros
