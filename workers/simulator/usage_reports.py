"""The reports of usage and cost that providers give, of what the simulator has counted; and a table of every call.

Sources: platform.openai.com/docs/api-reference/usage (`/v1/organization/usage/completions`, `/embeddings`, `/images`,
`/costs`); platform.claude.com/docs/en/manage-claude/usage-cost-api (`/v1/organizations/usage_report/messages`,
`/cost_report`: amounts are decimal cents). All of a report is on its first page. A credit of the catalogue is a cent.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

from shared import clock
from shared.money.pricing import PER_TOKENS, UnitPrices
from shared.submissions.catalogue import catalogue
from workers.simulator.messages import SimulatedReply, json_reply
from workers.simulator.usage_log import Billed, UsageLog

_WIDTHS: Final = {"1d": 86_400, "1h": 3_600, "1m": 60}
#: The counts of a `Billed`.
TOKENS: Final = ("input", "cached", "write_5m", "write_1h", "output")
#: The columns of the table of calls.
COLUMNS: Final = (
    "request_id",
    "created_at",
    "provider",
    "model",
    *(f"{name}_tokens" for name in TOKENS),
    "images",
    "cost_usd",
)
_CENTS = 1_000_000

Query = Mapping[str, str]
#: Bucket and model → the sums.
_Sums = dict[tuple[int, str], Counter[str]]


def find(log: UsageLog, method: str, path: str, query: Query) -> SimulatedReply | None:
    """The report at a path; None: there is none."""
    if method != "GET":
        return None
    for pattern, report in _REPORTS:
        if found := pattern.fullmatch(path):
            return json_reply(report(log, query, *found.groups()))
    return None


def table(log: UsageLog, provider: str) -> SimulatedReply:
    """Every call as a line of CSV, with its request id."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for row in log.rows(provider):
        when = clock.utc(row.at * clock.MICROS).isoformat().replace("+00:00", "Z")
        cost = f"{float(_micros(row) / (100 * _CENTS)):.12f}"
        counts = [getattr(row, name) for name in TOKENS]
        lines.writerow([row.request_id, when, row.provider, row.model, *counts, row.images, cost])
    return SimulatedReply(200, text.getvalue().encode(), b"text/csv; charset=utf-8")


def _openai_usage(log: UsageLog, query: Query, kind: str) -> dict[str, Any]:
    width = _WIDTHS[query.get("bucket_width", "1d")]
    rows = (row for row in log.rows("openai") if row.kind == kind)
    return _openai_page(width, _summed(rows, width, query), lambda model, sums: _openai_result(kind, model, sums))


def _openai_result(kind: str, model: str, sums: Mapping[str, int]) -> dict[str, Any]:
    shown: dict[str, Any] = {"object": f"organization.usage.{kind}.result", "num_model_requests": sums["requests"]}
    if kind == "images":
        shown["images"] = sums["images"]
    else:
        shown["input_tokens"] = sums["input"] + sums["cached"]
    if kind == "completions":
        shown |= {"output_tokens": sums["output"], "input_cached_tokens": sums["cached"], "input_audio_tokens": 0}
    nothing = dict.fromkeys(("project_id", "user_id", "api_key_id", "batch"))
    return shown | nothing | {"model": model or None}


def _openai_costs(log: UsageLog, query: Query) -> dict[str, Any]:
    width = _WIDTHS["1d"]

    def result(model: str, sums: Mapping[str, int]) -> dict[str, Any]:
        amount = {"value": float(sums["micros"]) / (100 * _CENTS), "currency": "usd"}
        return {"object": "organization.costs.result", "amount": amount, "line_item": model or None, "project_id": None}

    return _openai_page(width, _summed(log.rows("openai"), width, query), result)


def _openai_page(width: int, found: _Sums, result: Callable[[str, Counter[str]], Any]) -> dict[str, Any]:
    data = [
        {
            "object": "bucket",
            "start_time": start,
            "end_time": start + width,
            "results": [result(model, sums) for (at, model), sums in found.items() if at == start],
        }
        for start in sorted({at for at, _ in found})
    ]
    return {"object": "page", "data": data, "has_more": False, "next_page": None}


def _anthropic_usage(log: UsageLog, query: Query) -> dict[str, Any]:
    width = _WIDTHS[query.get("bucket_width", "1d")]

    def result(model: str, sums: Mapping[str, int]) -> dict[str, Any]:
        return {
            "uncached_input_tokens": sums["input"],
            "cache_creation": {
                "ephemeral_1h_input_tokens": sums["write_1h"],
                "ephemeral_5m_input_tokens": sums["write_5m"],
            },
            "cache_read_input_tokens": sums["cached"],
            "output_tokens": sums["output"],
            "server_tool_use": {"web_search_requests": 0},
            **dict.fromkeys(("api_key_id", "workspace_id", "service_tier", "context_window")),
            "model": model or None,
        }

    return _anthropic_page(width, _summed(log.rows("anthropic"), width, query), result)


def _anthropic_costs(log: UsageLog, query: Query) -> dict[str, Any]:
    width = _WIDTHS["1d"]

    def result(model: str, sums: Mapping[str, int]) -> dict[str, Any]:
        nothing = dict.fromkeys(("workspace_id", "description", "cost_type", "context_window", "service_tier"))
        cents = f"{float(sums['micros']) / _CENTS:.9f}"
        return {"currency": "USD", "amount": cents, **nothing, "token_type": None, "model": model or None}

    return _anthropic_page(width, _summed(log.rows("anthropic"), width, query), result)


def _anthropic_page(width: int, found: _Sums, result: Callable[[str, Counter[str]], Any]) -> dict[str, Any]:
    data = [
        {
            "starting_at": _instant(start),
            "ending_at": _instant(start + width),
            "results": [result(model, sums) for (at, model), sums in found.items() if at == start],
        }
        for start in sorted({at for at, _ in found})
    ]
    return {"data": data, "has_more": False, "next_page": None}


def _instant(seconds: int) -> str:
    return clock.utc(seconds * clock.MICROS).strftime("%Y-%m-%dT%H:%M:%SZ")


def _summed(rows: Iterable[Billed], width: int, query: Query) -> _Sums:
    """The sums of each bucket and, where the query asks for it, model."""
    by_model = any("model" in value or "description" in value for name, value in query.items() if "group_by" in name)
    found: _Sums = {}
    for row in rows:
        sums = found.setdefault((row.at // width * width, row.model if by_model else ""), Counter())
        sums["requests"] += 1
        sums["images"] += row.images
        sums["micros"] += _micros(row)  # type: ignore[assignment]
        for name in TOKENS:
            sums[name] += getattr(row, name)
    return found


def _micros(row: Billed) -> Fraction:
    """What a call costs at the catalogue's price of its model, in exact micro-credits; 0 where it has none."""
    price = _price(row.provider, row.model)
    if price is None:
        return Fraction(0)
    usual = price.input
    each = {
        "input": usual,
        "cached": usual if price.cached_input is None else price.cached_input,
        "write_5m": usual if price.cache_write is None else price.cache_write,
        "output": price.output,
    }
    each["write_1h"] = each["write_5m"] if price.cache_write_1h is None else price.cache_write_1h
    pictures = row.images * price.images.get(row.size, max(price.images.values(), default=0))
    return Fraction(sum(getattr(row, name) * each[name] for name in TOKENS), PER_TOKENS) + pictures


def _price(provider: str, upstream: str) -> UnitPrices | None:
    found = catalogue()
    for id, model in found.models.items():
        if (model.provider, model.upstream) == (provider, upstream):
            return found.prices[id]
    return None


_REPORTS: Final[tuple[tuple[re.Pattern[str], Callable[..., dict[str, Any]]], ...]] = (
    (re.compile(r"/openai/v1/organization/usage/(completions|embeddings|images)"), _openai_usage),
    (re.compile(r"/openai/v1/organization/costs"), _openai_costs),
    (re.compile(r"/anthropic/v1/organizations/usage_report/messages"), _anthropic_usage),
    (re.compile(r"/anthropic/v1/organizations/cost_report"), _anthropic_costs),
)
