"""Each invoice's lines add up to its total; those of a statement to the tokens of its batch as well."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from sqlalchemy import bindparam, select

from shared.db import models as m
from shared.verify.findings import Check, Finding, Reader
from shared.verify.query import faulty_rows, page_of

#: Invoices in one statement.
PAGE = 1000

_NAME = "invoice: lines do not add up to its total, or to the tokens of its batch"
_TOKENS = ("prompt_tokens", "completion_tokens")


def violations(read: Reader) -> Iterator[Finding]:
    """Page after page, by number."""
    return faulty_rows(read, _NAME, page_of(_PAGE), _wrong, by="number", after=0)


_PAGE = (
    select(*(m.invoices.c[name] for name in ("id", "number", "kind", "lines", "total_micros")))
    .add_columns(*(m.batches.c[name] for name in _TOKENS), m.batches.c.id.label("batch"))
    .outerjoin_from(m.invoices, m.batches, m.batches.c.id == m.invoices.c.batch_id)
    .where(m.invoices.c.number > bindparam("after"))
    .order_by(m.invoices.c.number)
    .limit(PAGE)
)


def _wrong(row: Mapping[str, Any]) -> str | None:
    """What is wrong with an invoice's lines, if anything."""
    try:
        lines = orjson.loads(row["lines"])
        total = sum(round(line["credits"] * 1_000_000) for line in lines)
        used = {name: sum(line.get(name, 0) for line in lines) for name in _TOKENS}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"lines cannot be read ({type(error).__name__})"
    if total != row["total_micros"]:
        return f"total_micros={row['total_micros']}, lines={total}"
    if row["kind"] == "statement" and row["batch"] and used != {name: row[name] for name in _TOKENS}:
        return f"lines={used}, batch={ ({name: row[name] for name in _TOKENS}) }"
    return None


CHECKS: tuple[Check, ...] = (violations,)
