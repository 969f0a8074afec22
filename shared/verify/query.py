"""One statement whose every row is a violation, in the words of either database."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, text

from shared import clock, forgotten
from shared.queue import PROBATION, job_queues

#: Rows named of each violated check.
SHOWN = 5
#: What is late by more than this was forgotten, not delayed, in microseconds.
HOUR, DAY = 3600 * clock.MICROS, 86_400 * clock.MICROS

#: What the databases say differently: the day and month (UTC) of an instant in microseconds; a text in a JSON text.
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "sqlite": {
        "day": "strftime('%Y-%m-%d', {} / 1000000, 'unixepoch')",
        "json": "json_extract({}, '$.{}.{}')",
    },
    "postgresql": {
        "day": "to_char(to_timestamp({} / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
        "json": "({})::json #>> '{{{},{}}}'",
    },
}


@dataclass(frozen=True, slots=True)
class Query:
    """A promise in words, and the rows that break it.

    In `sql`, `[day x]`, `[month x]` and `[json column a b]` stand for what the databases say differently, `[queues]`
    for the names of the queues. Parameters: `now`, `hour_ago`, `day_ago`, `month`, `today`, and of what retention has
    removed `jobs_gone`, `payloads_gone`, `events_gone`, `deliveries_gone`, `files_gone`.
    """

    name: str
    sql: str

    def violations(self, connection: Connection) -> Iterator[str]:
        """The first of them, and how many more."""
        statement = text(_spoken(self.sql, connection.dialect.name))
        given = given_now(connection)
        rows = connection.execute(statement, {name: given[name] for name in statement.compile().params}).mappings()
        more = 0
        for number, row in enumerate(rows):
            if number < SHOWN:
                yield f"{self.name}: " + ", ".join(f"{key}={value}" for key, value in row.items())
            else:
                more += 1
        if more:
            yield f"{self.name}: and {more} more"


def given_now(connection: Connection) -> dict[str, Any]:
    """The parameters of every query."""
    now = clock.now_micros()
    gone = {f"{kind}_gone": mark for kind, mark in forgotten.marks(connection).items()}
    month = clock.month(now)
    return {"now": now, "hour_ago": now - HOUR, "day_ago": now - DAY, "month": month, **gone}


@lru_cache(maxsize=256)
def _spoken(sql: str, dialect: str) -> str:
    """The statement in this database's words."""
    words = _WORDS[dialect]
    made, rest = [], sql
    while "[" in rest:
        before, _, rest = rest.partition("[")
        inside, _, rest = rest.partition("]")
        made += [before, _word(words, *inside.split())]
    return "".join([*made, rest])


def _word(words: Mapping[str, str], name: str, *arguments: str) -> str:
    if name == "queues":
        return ", ".join(f"'{queue}'" for queue in [*job_queues(), PROBATION])
    if name == "month":
        return f"substr({words['day'].format(*arguments)}, 1, 7)"
    return words[name].format(*arguments)
