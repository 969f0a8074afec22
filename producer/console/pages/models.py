"""Models: what each costs, can do and how it serves of late; for customers those that their key can use."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from producer.console.api import Call
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared.submissions.job_types import JOB_TYPES

router = PageRouter()

#: More models than that have a field to search them.
_MANY: Final = 50
#: Micro-credits of a credit: prices are in micro-credits per million tokens, which are credits per token times 10^12.
_MICROS: Final = 1_000_000
#: The names of prices in the order of the page.
_PRICES: Final = (
    ("input", "in"),
    ("output", "out"),
    ("cached_input", "cached"),
    ("cache_write", "cache write"),
    ("cache_write_1h", "cache write, 1 h"),
    ("reasoning", "reasoning"),
)


@router.get("/console/models")
async def show(visit: Visit) -> Response:
    """The models, of one type, or all."""
    wanted = visit.query.get("type", "")
    call = Call("GET", "/v1/models")
    text = visit.query.get("q", "").strip()
    every = (await visit.api.send(call)).data["data"]
    found = [model for model in every if wanted in ("", model["type"]) and _has(model, text)]
    return visit.show(
        "models.html",
        here="models",
        models=[(model, prices(model["price"]), _next_prices(model["price"])) for model in found],
        types=[("", "All"), *((one, one) for one in JOB_TYPES)],
        wanted=wanted,
        text=text,
        many=len(every) > _MANY,
        call=call,
    )


def _has(model: Mapping[str, Any], text: str) -> bool:
    """Whether a text is in what a model is called, whose it is or what it is for."""
    return text.lower() in f"{model['id']} {model['provider']} {model.get('purpose') or ''}".lower()


def _next_prices(price: Mapping[str, Any]) -> tuple[str, list[tuple[str, float]]] | None:
    """The day on which a price changes next, and the usual tier's amounts from then on."""
    return (price["changes"][0]["from"], _amounts(price["changes"][0])) if price.get("changes") else None


def prices(price: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, float]]]]:
    """A model's prices in credits: pairs of a name and an amount, for the usual tier ("") and each other.

    Amounts are per million tokens, or per image of a size.

    >>> prices({"input": 1_250_000, "output": 0, "service_tiers": {"flex": {"input": 625_000, "output": 0}}})
    [('', [('in', 1.25), ('out', 0.0)]), ('flex', [('in', 0.625), ('out', 0.0)])]
    """
    tiers = {"": price, **price.get("service_tiers", {})}
    return [(name, _amounts(tier)) for name, tier in tiers.items()]


def _amounts(price: Mapping[str, Any]) -> list[tuple[str, float]]:
    found = [(word, price[name] / _MICROS) for name, word in _PRICES if name in price]
    found += [(f"image {size}", micros / _MICROS) for size, micros in price.get("images", {}).items()]
    if "request" in price:
        found.append(("request", price["request"] / _MICROS))
    if long := price.get("long_context"):
        above = f"above {long['above']:,}"
        found += [(f"{word} {above}", long[name] / _MICROS) for name, word in _PRICES if name in long]
    return found
