"""Tables (CSV): what Anthropic's console and OpenAI's dashboard export, and any other with a header. Pure.

Anthropic's has `usage_date_utc`, `model_version` and a column a class (support.claude.com/en/articles/9534590),
OpenAI's `start_time_iso` and the names of its API. Of any other table `model` and a time are needed; what else is known
of its columns is in `COLUMNS`: `input_tokens` is input that no cache had a part in, `prompt_tokens` all of it.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from producer.reconcile.exported import ExportError, ExportRow, count_of, day_of, nanos_of, row

#: What each thing is called, in small letters; the first of them that a table has is read.
COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "request_id": ("request_id", "request id", "x-request-id", "generation_id"),
    "provider": ("provider",),
    "model": ("model", "model_version", "model_id", "snapshot_id"),
    "time": ("usage_date_utc", "start_time_iso", "start_time", "created_at", "timestamp", "time", "date", "day"),
    "calls": ("num_model_requests", "requests", "calls"),
    "input": ("usage_input_tokens_no_cache", "input_uncached_tokens", "uncached_input_tokens", "input_tokens"),
    "prompt": ("prompt_tokens", "tokens_prompt"),
    "cached": (
        *("usage_input_tokens_cache_read", "input_cached_tokens", "cache_read_input_tokens", "cached_tokens"),
        "cached_input_tokens",
    ),
    "write_5m": (
        *("usage_input_tokens_cache_write_5m", "input_cache_write_tokens", "write_5m_tokens"),
        *("cache_creation_input_tokens", "cache_write_tokens"),
    ),
    "write_1h": ("usage_input_tokens_cache_write_1h", "write_1h_tokens", "cache_write_1h_tokens"),
    "output": ("usage_output_tokens", "output_tokens", "completion_tokens", "tokens_completion"),
    "images": ("images",),
    "cost": ("cost_usd", "amount_value", "amount_usd", "cost", "cost_total"),
    "line_item": ("line_item",),
}
_COUNTED: Final = ("calls", "cached", "write_5m", "write_1h", "output", "images")


def rows(lines: Iterable[str], name: str) -> Iterator[ExportRow]:
    """The rows of a table whose first line is its header; ExportError names line and column."""
    table = csv.reader(lines, strict=True)
    try:
        header = [cell.strip().lower() for cell in next(table, [])]
        columns = _columns(header, f"{name}: line 1")
        for cells in table:
            if any(cell.strip() for cell in cells):
                yield _row(cells, columns, header, f"{name}: line {table.line_num}")
    except csv.Error as error:
        raise ExportError(f"{name}: line {table.line_num}", f"is no CSV ({error})") from None
    except UnicodeDecodeError:
        raise ExportError(f"{name}: line {table.line_num + 1}", "is not UTF-8") from None


def _columns(header: Sequence[str], where: str) -> dict[str, int]:
    found = {what: next((header.index(one) for one in names if one in header), -1) for what, names in COLUMNS.items()}
    known = {what: at for what, at in found.items() if at >= 0}
    if "time" not in known or not known.keys() & {"model", "line_item", "request_id"}:
        raise ExportError(where, f"the header has no time, or no model: {', '.join(header)[:200]}")
    return known


def _row(cells: Sequence[str], columns: Mapping[str, int], header: Sequence[str], where: str) -> ExportRow:
    if len(cells) != len(header):
        raise ExportError(where, f"has {len(cells)} cells, the header {len(header)}")

    def cell(what: str) -> str:
        return cells[columns[what]].strip() if what in columns else ""

    def place(what: str) -> str:
        return f"{where}: {header[columns[what]]}"

    counts = {what: count_of(cell(what), place(what)) for what in _COUNTED if what in columns}
    parts = sum(counts.get(what, 0) for what in ("cached", "write_5m", "write_1h"))
    for what in ("input", "prompt"):
        if what in columns and "input" not in counts:
            read = count_of(cell(what), place(what))
            counts["input"] = read - parts if what == "prompt" or _has_all(header, columns) else read
    if counts.get("input", 0) < 0:
        raise ExportError(where, "has more cached tokens than tokens")
    if id := cell("request_id"):
        counts["calls"] = 1
    return row(
        where,
        day_of(cell("time"), place("time")),
        cell("model") or cell("line_item").partition(",")[0],
        counts,
        request_id=id or None,
        provider=cell("provider").lower() or None,
        cost_nanos=nanos_of(cell("cost"), place("cost")) if "cost" in columns else None,
    )


def _has_all(header: Sequence[str], columns: Mapping[str, int]) -> bool:
    """Whether `input_tokens` has all input in it, as in OpenAI's tables."""
    return header[columns["input"]] == "input_tokens" and "num_model_requests" in header
