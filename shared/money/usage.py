"""Daily usage of each account and model, and of each key, added up in the transaction that settles the jobs."""

from collections.abc import Iterable, Sequence
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


#: Rows by the values of their keys.
_Rows = dict[tuple[Any, ...], dict[str, Any]]


@dataclass(slots=True)
class Used:
    """What one job that succeeded used, and what it was charged. Nothing changes it; not frozen, as `Ending` is not."""

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


@dataclass(frozen=True, slots=True)
class DaySums:
    """What jobs add to the usage of a day: rows by account and model, and by key as well, each in order."""

    by_model: list[dict[str, Any]]
    by_key: list[dict[str, Any]]


def added_up(used: Iterable[Used], now: int) -> DaySums:
    """Jobs added up, for the day of `now`, the instant of their settlement."""
    day = clock.day(now)
    by_model: _Rows = {}
    by_key: _Rows = {}
    for (account_id, test, model, key_id, of_batch), some in _alike(used).items():
        place = (account_id, day, test, model)
        row = _row(by_model, _KEYS, place, _SUMS)
        _add(row, "", some)
        if of_batch:
            _add(row, "batch_", some)
        else:
            row["single_jobs"] += len(some)
        _add(_row(by_key, _KEYS_BY_KEY, (*place, key_id), AMOUNTS), "", some)
    return DaySums([by_model[place] for place in sorted(by_model)], [by_key[place] for place in sorted(by_key)])


def record(connection: Connection, sums: DaySums) -> None:
    """Add them to the rows; under the locks of their accounts."""
    db.add_rows(connection, daily_usage, sums.by_model, keys=_KEYS, sums=_SUMS)
    db.add_rows(connection, key_usage, sums.by_key, keys=_KEYS_BY_KEY, sums=AMOUNTS)


def _alike(used: Iterable[Used]) -> dict[tuple[str, bool, str, str, bool], list[Used]]:
    """Jobs by whose they are and what served them: those that are settled together are few kinds."""
    kinds: dict[tuple[str, bool, str, str, bool], list[Used]] = {}
    for one in used:
        kinds.setdefault((one.account_id, one.test, one.model, one.key_id, one.of_batch), []).append(one)
    return kinds


def _row(rows: _Rows, keys: tuple[str, ...], place: tuple[Any, ...], sums: tuple[str, ...]) -> dict[str, Any]:
    """The row of a place, made of zeros when it is the first time."""
    if (row := rows.get(place)) is None:
        row = rows[place] = {**dict(zip(keys, place, strict=True)), **dict.fromkeys(sums, 0)}
    return row


def _add(row: dict[str, Any], which: str, some: Sequence[Used]) -> None:
    row[f"{which}jobs"] += len(some)
    row[f"{which}prompt_tokens"] += sum([one.prompt_tokens for one in some])
    row[f"{which}completion_tokens"] += sum([one.completion_tokens for one in some])
    row[f"{which}images"] += sum([one.images for one in some])
    row[f"{which}charged_micros"] += sum([one.charged_micros for one in some])
