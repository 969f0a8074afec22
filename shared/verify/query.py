"""One statement whose every row is a violation, in the words of either database."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from sqlalchemy import Connection, Executable, TextClause, text

from shared import clock
from shared.db import retention_marks
from shared.queues import LANES, PROBATION
from shared.submissions.catalogue import job_queues
from shared.verify.findings import Finding, Reader, first_of

#: What is late by more than this was forgotten, not delayed, in microseconds.
DAY = 86_400 * clock.MICROS

_GONE: Final = re.compile(r":([a-z]+)_gone\b")
#: What the databases say differently: the day and month (UTC) of an instant in microseconds; a text in a JSON text.
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "sqlite": {
        "day": "strftime('%Y-%m-%d', {} / 1000000, 'unixepoch')",
        "json": "CAST(json_extract({}, '$.{}.{}') AS TEXT)",  # else SQLite joins by no index
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
    and `[lanes]` for their names after `IN`; `:jobs_gone`, `:payloads_gone`, `:events_gone`, `:deliveries_gone` and
    `:files_gone` for up to when retention has removed such rows, read in the same instant. Parameters: `now`,
    `day_ago`, `month_ago`, `month`.
    """

    name: str
    sql: str

    def __call__(self, read: Reader) -> Iterator[Finding]:
        """The first of them, and how many more."""
        return iter(read(self._found))

    def _found(self, connection: Connection) -> list[Finding]:
        statement, names = self.statement(connection.dialect.name)
        given = parameters()
        rows = connection.execute(statement, {name: given[name] for name in names}).mappings()
        return list(first_of(self.name, (Finding(self.name, dict(row)) for row in rows)))

    def statement(self, dialect: str) -> tuple[TextClause, tuple[str, ...]]:
        """The statement in the words of a database, and the names of its parameters."""
        return _statement(self.sql, dialect, tuple(job_queues()))


def parameters() -> dict[str, int | str]:
    """What statements may ask for, now."""
    now = clock.now_micros()
    return {"now": now, "day_ago": now - DAY, "month_ago": now - 30 * DAY, "month": clock.month(now)}


#: Made once: reading a statement's text costs more than running it on a small database.
@lru_cache(maxsize=256)
def _statement(sql: str, dialect: str, queues: tuple[str, ...]) -> tuple[TextClause, tuple[str, ...]]:
    """The statement in this database's words, and the names of its parameters."""
    words = _WORDS[dialect]
    made, rest = [], _GONE.sub(lambda found: retention_marks.mark_sql(found[1]), sql)
    while "[" in rest:
        before, _, rest = rest.partition("[")
        inside, _, rest = rest.partition("]")
        made += [before, _word(words, queues, *_split(inside))]
    statement = text("".join([*made, rest]))
    return statement, tuple(statement.compile().params)


def _split(inside: str) -> list[str]:
    """A word and its arguments; that of a day or month is one, however long."""
    name, _, arguments = inside.partition(" ")
    return [name, *(arguments.split() if name == "json" else [arguments] if arguments else [])]


def sql_list(names: Iterable[str]) -> str:
    """Names as the right side of an IN, in their order: `('failed', 'expired')`."""
    return "(" + ", ".join(f"'{name}'" for name in names) + ")"


def _word(words: Mapping[str, str], queues: Sequence[str], name: str, *arguments: str) -> str:
    if name == "queues":
        return sql_list([*queues, PROBATION])
    if name == "lanes":
        return sql_list(LANES)
    if name == "month":
        return f"substr({words['day'].format(*arguments)}, 1, 7)"
    return words[name].format(*arguments)


#: Reads the rows after a key, a page of them, in their order.
Page = Callable[[Connection, str | int], Sequence[Mapping[str, Any]]]


def page_of(statement: Executable) -> Page:
    """The rows of a statement that has the parameter `after`."""
    return lambda connection, after: [dict(row) for row in connection.execute(statement, {"after": after}).mappings()]


def faulty_rows(
    read: Reader,
    name: str,
    page: Page,
    wrong: Callable[[Mapping[str, Any]], str | None],
    *,
    by: str,
    after: str | int,
) -> Iterator[Finding]:
    """What `wrong` says of rows, in the order of `by`: of the first ones, and how many more there are."""
    return first_of(name, _faulty_rows(read, name, page, wrong, by, after))


def _faulty_rows(
    read: Reader, name: str, page: Page, wrong: Callable[[Mapping[str, Any]], str | None], by: str, after: str | int
) -> Iterator[Finding]:
    keys = dict.fromkeys(("id", by))
    while rows := read(partial(_after, page, after)):
        for row in rows:
            if said := wrong(row):
                yield Finding(name, {key: row[key] for key in keys}, said)
        after = rows[-1][by]


def _after(page: Page, after: str | int, connection: Connection) -> Sequence[Mapping[str, Any]]:
    return page(connection, after)
