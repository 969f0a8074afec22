"""Checks that every job that a kept answer promised exists: no accepted job is lost."""

from collections.abc import Iterator, Mapping
from functools import partial

import orjson
from sqlalchemy import Connection, select, tuple_

from shared.db import models as m
from shared.db import retention_marks
from shared.verify.findings import Check, Finding, Reader, first_of

#: Answers in one statement; each may name a thousand jobs.
PAGE = 200

_NAME = "stored idempotent response: its object does not exist or belongs to another account"
_TABLES = {"job_": m.jobs, "batch_": m.batches, "inv_": m.invoices}


def violations(read: Reader) -> Iterator[Finding]:
    """Page after page of the answers."""
    return first_of(_NAME, _violations(read))


def _violations(read: Reader) -> Iterator[Finding]:
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        found, after = read(partial(_page, after=after))
        yield from found


def _page(connection: Connection, after: tuple[str, str]) -> tuple[list[Finding], tuple[str, str] | None]:
    """What is found in the answers after this account and key, and the last of them; None: that was all."""
    keys = m.idempotency_keys.c
    later = tuple_(keys.account_id, keys.key) > tuple_(*after)
    statement = select(keys.account_id, keys.key, keys.status_code, keys.response, keys.created_at)
    rows = connection.execute(statement.where(later).order_by(keys.account_id, keys.key).limit(PAGE)).all()
    promised = {
        id: (row.account_id, row.key, row.created_at)
        for row in rows
        if 200 <= row.status_code < 300
        for id in _ids(row.response)
    }
    found = [
        Finding(_NAME, {"id": id, "account_id": promised[id][0], "key": promised[id][1]})
        for id in _missing(connection, promised)
    ]
    return found, (rows[-1].account_id, rows[-1].key) if rows else None


def _missing(connection: Connection, promised: Mapping[str, tuple[str, str, int]]) -> Iterator[str]:
    """Those that are not there, by account, key and time; jobs that retention has removed are not missed."""
    for prefix, table in _TABLES.items():
        ids = [id for id in promised if id.startswith(prefix)]
        there: dict[str, str] = {}
        for start in range(0, len(ids), 1000):
            statement = select(table.c.id, table.c.account_id).where(table.c.id.in_(ids[start : start + 1000]))
            there.update(tuple(row) for row in connection.execute(statement))
        gone = retention_marks.marks(connection)["jobs"] if prefix == "job_" else 0
        for id in ids:
            account, _, at = promised[id]
            if there[id] != account if id in there else at > gone:
                yield id


def _ids(response: str) -> list[str]:
    """The ids that an answer names: its own, or those of its list."""
    try:
        body = orjson.loads(response)
    except orjson.JSONDecodeError:
        return []
    listed = body.get("data") if isinstance(body, dict) else None
    things = [body, *listed] if isinstance(listed, list) else [body]
    ids = [thing.get("id") for thing in things if isinstance(thing, dict)]
    return [id for id in ids if isinstance(id, str) and id.startswith(tuple(_TABLES))]


CHECKS: tuple[Check, ...] = (violations,)
