"""Reports that OpenAI's and Anthropic's APIs give as JSON, in buckets of time. Pure.

Sources: platform.openai.com/docs/api-reference/usage (completions, embeddings, images, costs);
platform.claude.com/docs/en/manage-claude/usage-cost-api (usage_report/messages; cost_report, whose amounts are decimal
cents). A report that is not grouped by model has rows without one.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from producer.reconcile.exported import ExportError, ExportRow, count_of, day_of, nanos_of, row

Body = Mapping[str, Any]

_CENT: Final = Decimal("0.01")


def rows(page: Any, where: str) -> Iterator[ExportRow]:
    """The rows of one page of any of these reports; ExportError."""
    buckets = page.get("data") if isinstance(page, dict) else None
    if not isinstance(buckets, list):
        raise ExportError(where, "is no report of OpenAI's or Anthropic's: `data` is missing")
    for at, bucket in enumerate(buckets):
        place = f"{where}: data[{at}]"
        if not isinstance(bucket, dict) or not isinstance(bucket.get("results"), list):
            raise ExportError(place, "`results` is missing")
        read = _openai if "start_time" in bucket else _anthropic
        start = bucket.get("start_time", bucket.get("starting_at"))
        day = day_of(start, f"{place}.{'start_time' if read is _openai else 'starting_at'}")
        for number, result in enumerate(bucket["results"]):
            if not isinstance(result, dict):
                raise ExportError(f"{place}.results[{number}]", "is no object")
            yield from read(result, day, f"{place}.results[{number}]")


def provider_of(page: Any) -> str | None:
    """Whose report a page is; None: it has no bucket to tell by."""
    match page:
        case {"data": [{"start_time": _}, *_]}:
            return "openai"
        case {"data": [{"starting_at": _}, *_]}:
            return "anthropic"
    return None


def _openai(result: Body, day: str, where: str) -> Iterator[ExportRow]:
    kind = str(result.get("object", "")).removeprefix("organization.").removesuffix(".result")
    if kind == "costs":
        amount = _object(result.get("amount"), f"{where}.amount")
        _in_dollars(amount.get("currency"), f"{where}.amount.currency")
        model = str(result.get("line_item") or "").partition(",")[0]
        yield row(where, day, model, {}, cost_nanos=nanos_of(amount.get("value"), f"{where}.amount.value"))
    elif kind in ("usage.completions", "usage.embeddings", "usage.images"):
        count = _counter(result, where)
        counts = {"calls": count("num_model_requests")}
        if kind == "usage.images":
            counts["images"] = count("images")
        else:
            cached, written = count("input_cached_tokens"), count("input_cache_write_tokens")
            counts |= {"input": count("input_tokens") - cached - written, "cached": cached, "write_5m": written}
        if kind == "usage.completions":
            counts["output"] = count("output_tokens")
        yield row(where, day, str(result.get("model") or ""), counts)
    elif not kind.startswith("usage."):  # other kinds of usage are not sold here
        raise ExportError(f"{where}.object", f"{kind[:60]!r} is no kind of report that is known")


def _anthropic(result: Body, day: str, where: str) -> Iterator[ExportRow]:
    model = str(result.get("model") or "")
    if "amount" in result:
        _in_dollars(result.get("currency"), f"{where}.currency")
        yield row(where, day, model, {}, cost_nanos=nanos_of(result["amount"], f"{where}.amount", dollars=_CENT))
        return
    count, written = _counter(result, where), _parts(result, where)
    if "uncached_input_tokens" not in result:
        raise ExportError(where, "`uncached_input_tokens` is missing")
    counts = {
        "input": count("uncached_input_tokens"),
        "cached": count("cache_read_input_tokens"),
        "write_5m": written("ephemeral_5m_input_tokens"),
        "write_1h": written("ephemeral_1h_input_tokens"),
        "output": count("output_tokens"),
    }
    yield row(where, day, model, counts)


def _parts(result: Body, where: str) -> Callable[[str], int]:
    place = f"{where}.cache_creation"
    return _counter(_object(result.get("cache_creation"), place), place)


def _object(value: Any, where: str) -> Body:
    """An object; an empty one for null."""
    if value is not None and not isinstance(value, dict):
        raise ExportError(where, "is no object")
    return value or {}


def _counter(result: Body, where: str) -> Callable[[str], int]:
    return lambda name: count_of(result.get(name), f"{where}.{name}")


def _in_dollars(currency: object, where: str) -> None:
    if str(currency or "usd").lower() != "usd":
        raise ExportError(where, f"{str(currency)[:20]!r} is not usd")
