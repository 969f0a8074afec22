"""Daily usage of each account and model, added up in the transaction that settles the jobs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from shared import clock, db
from shared.db.models import daily_usage

_KEYS = ("account_id", "day", "test", "model")
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
    #: Of a batch, whose statement lists it; of a single job the month's does.
    of_batch: bool = False


def record(connection: Connection, used: Iterable[Used], now: int) -> None:
    """Add jobs to the day of `now`, the instant of their settlement; under the locks of their accounts."""
    day = clock.utc(now).strftime("%Y-%m-%d")
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in used:
        key = (one.account_id, day, one.test, one.model)
        if (row := rows.get(key)) is None:
            row = rows[key] = {**dict(zip(_KEYS, key, strict=True)), **dict.fromkeys(_SUMS, 0)}
        _add(row, "", one)
        if one.of_batch:
            _add(row, "batch_", one)
        else:
            row["single_jobs"] += 1
    db.add_rows(connection, daily_usage, [rows[key] for key in sorted(rows)], keys=_KEYS, sums=_SUMS)


def _add(row: dict[str, Any], which: str, one: Used) -> None:
    row[f"{which}jobs"] += 1
    row[f"{which}prompt_tokens"] += one.prompt_tokens
    row[f"{which}completion_tokens"] += one.completion_tokens
    row[f"{which}images"] += one.images
    row[f"{which}charged_micros"] += one.charged_micros
