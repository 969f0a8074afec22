"""Lends a server's databases to tests, one after the other: to empty one costs a tenth of what it costs to make one.

What is lent has every table, no row, and nothing else in it than what was made: what a test has changed beside rows
(a table, an index, statistics, a setting) is found, and such a database is not lent again; nor is one in which
something that the test has left is still connected.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from tests import pooling

#: Empties the tables that have pages: the small by DELETE, which is a fifth of the work of TRUNCATE and leaves pages
#: that the planner takes for those of a new table, which it believes to have ten.
_EMPTY: Final = """DO $$ DECLARE used record; BEGIN
    FOR used IN SELECT quote_ident(relname) AS name, pg_relation_size(oid) AS bytes FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
    LOOP
        IF used.bytes > 65536 THEN EXECUTE 'TRUNCATE ' || used.name;
        ELSIF used.bytes > 0 THEN EXECUTE 'DELETE FROM ' || used.name;
        END IF;
    END LOOP;
END $$"""
#: Differs once anything but rows has been added, changed or removed: what is made has a greater oid than all before.
_SCHEMA: Final = """SELECT concat_ws(' ',
    (SELECT concat(count(*), '-', max(oid), '-', string_agg(array_to_string(reloptions, ','), ';')) FROM pg_class),
    (SELECT concat(count(*), '-', sum(attnum), '-', sum(atttypid::int8), '-', sum(attnotnull::int)) FROM pg_attribute),
    (SELECT concat(count(*), '-', max(oid)) FROM pg_attrdef),
    (SELECT concat(count(*), '-', max(oid)) FROM pg_constraint),
    (SELECT concat(count(*), '-', sum(indisvalid::int)) FROM pg_index),
    (SELECT concat(count(*), '-', max(oid)) FROM pg_proc),
    (SELECT concat(count(*), '-', max(oid)) FROM pg_trigger),
    (SELECT concat(count(*), '-', max(oid)) FROM pg_namespace),
    (SELECT count(*) FROM pg_extension),
    (SELECT count(*) FROM pg_statistic),
    (SELECT count(*) FROM pg_db_role_setting),
    (SELECT string_agg(version_num, ',') FROM alembic_version))"""
#: Who is connected; but for the connection that asks, and those that are kept.
_OTHERS: Final = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL(%s)"""


@dataclass(frozen=True)
class Lent:
    """A database, and the connection that empties it."""

    url: str
    connection: "psycopg.Connection[tuple[object, ...]]"

    def told(self, query: str, *given: object) -> object:
        """The one value of a query's one row."""
        row = self.connection.execute(query.encode(), given or None).fetchone()
        return row and row[0]

    @property
    def in_use(self) -> object:
        """Whether somebody is still connected, or has a connection of those that are kept."""
        pool = pooling.pool_of(self.url)
        return (pool and pool.checkedout()) or self.told(_OTHERS, sorted(pool.pids if pool else ()))

    def close(self) -> None:
        """Close its connections."""
        pooling.drop(self.url)
        self.connection.close()


class Lender:
    """The databases that are not lent just now; `make` gives the URL of a new one with every table."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make
        self._spare: deque[Lent] = deque()
        self._schema: object = None

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The URL of a database for as long as the block lasts."""
        lent = self._used() or self._new()
        try:
            yield lent.url
        finally:
            self._spare.append(lent)

    def _used(self) -> Lent | None:
        """The one that has been spare for longest of those that can be lent again, emptied."""
        for _ in range(len(self._spare)):
            found = self._spare.popleft()
            try:
                if found.in_use:  # it may be on its way out
                    self._spare.append(found)
                    continue
                found.connection.execute(_EMPTY)
                if found.told(_SCHEMA) == self._schema:
                    return found
            except psycopg.Error:
                pass
            found.close()
        return None

    def _new(self) -> Lent:
        url = self._make()
        lent = Lent(
            url, psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True, options="-c lock_timeout=1000")
        )
        self._schema = self._schema or lent.told(_SCHEMA)
        pooling.keep(url)
        return lent

    def close(self) -> None:
        """Close the connections of all that is spare."""
        while self._spare:
            self._spare.pop().close()
