"""Usage as CSV (RFC 4180): a header, then a line for each row; amounts are exact decimals, times ISO 8601 in UTC."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from producer.objects import usage_id
from producer.objects.usage import Sums
from producer.operations import usage_groups
from producer.operations.usage import Selection, pages
from shared import clock
from shared.db import Database
from shared.submissions.usage_shown import KEPT

COLUMNS = (
    "id",
    "created_at",
    "job_id",
    "batch_id",
    "custom_id",
    "key_id",
    "type",
    "model",
    "provider",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "images",
    "credits_used",
    "test",
    *KEPT,
    "estimated",
    "cache_creation_1h_tokens",
    "service_tier",
)

#: Groups in one piece of a file.
GROUPS_AT_ONCE = 1000
#: Where a spreadsheet would take a customer's text for a formula: what it takes for the beginning of a cell.
#: The whitespace after it is none that begins a cell itself: a run of tabs is read once, not once from each of them.
_FORMULA = re.compile(r"((?:^|[;\t\r\n])[^\S\t\r\n]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


async def chunks(database: Database, wanted: Selection) -> AsyncIterator[str]:
    """The file, oldest row first, a bounded piece at a time; the first piece has the header and is there at once."""
    text = lines([COLUMNS])
    async for rows in pages(database, wanted):
        text += await asyncio.to_thread(_body, rows)
        if text:
            yield text
        text = ""
    if text:
        yield text


async def groups(database: Database, wanted: Selection, by: Sequence[str]) -> AsyncIterator[str]:
    """The groups of a period as a file: their dimensions, then their sums; an empty cell is what is not known."""
    found = await usage_groups.grouped(database, wanted, by)
    yield lines([(*by, *usage_groups.COLUMNS_OF_SUMS)])
    for first in range(0, len(found.groups), GROUPS_AT_ONCE):
        yield lines(_of_group(*one) for one in found.groups[first : first + GROUPS_AT_ONCE])


def _of_group(values: usage_groups.Values, sums: Sums) -> tuple[Any, ...]:
    tokens = (sums.prompt_tokens, sums.completion_tokens, sums.prompt_tokens + sums.completion_tokens)
    return (*(guarded(one or "") for one in values), sums.jobs, *tokens, sums.images, decimal(sums.charged_micros))


def _body(rows: Iterable[Mapping[str, Any]]) -> str:
    return lines(map(cells, rows))


def filename(wanted: Selection) -> str:
    """What the file is called where it is saved."""
    mode = "-test" if wanted.test else ""
    return f"fusionai-usage{mode}-{wanted.period.first}-{wanted.period.last}.csv"


def lines(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV, each ended by CRLF."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue()


def cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The cells of a row, in the order of COLUMNS; of a detail that is not known, an empty one."""
    return (
        usage_id(row["id"]),
        clock.utc(row["finished_at"]).strftime("%Y-%m-%dT%H:%M:%SZ"),
        row["id"],
        row["batch_id"],
        guarded(row["custom_id"] or ""),
        row["key_id"],
        row["type"],
        row["served_model"],
        row["provider"],
        row["prompt_tokens"],
        row["completion_tokens"],
        row["prompt_tokens"] + row["completion_tokens"],
        row["images"],
        decimal(row["charged_micros"]),
        "true" if row["test"] else "false",
        *(row[name] for name in KEPT),
        "true" if row["estimated"] else "false",
        row["cache_creation_1h_tokens"],
        row["service_tier"],
    )


def decimal(micros: int) -> str:
    """Micro-credits as credits, all six decimals."""
    return f"{micros // clock.MICROS}.{micros % clock.MICROS:06d}"


def guarded(text: str) -> str:
    """A customer's text that no spreadsheet runs: an apostrophe stands before what it would take for a formula.

    >>> guarded("=1+1"), guarded("line-17"), guarded("a;=1+1")
    ("'=1+1", 'line-17', "a;'=1+1")
    """
    return _FORMULA.sub(r"\1'", text)
