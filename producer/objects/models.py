"""The model object, made from a row of the catalogue. Pure."""

from typing import Annotated, Any, Final, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from shared.objects.fields import Count, Time
from shared.providers.statistics import OfferStatistics
from shared.submissions.catalogue import CatalogueModel
from shared.submissions.catalogue_rows import Capability
from shared.submissions.job_types import JobType
from shared.submissions.price_rows import DatedPrices as PriceChangeRow
from shared.submissions.price_rows import PriceTable


class _TokenPrices(TypedDict):
    input: NotRequired[Count]
    output: NotRequired[Count]
    cached_input: NotRequired[Annotated[int, Field(ge=0, description="Input read from the cache; else as input.")]]
    cache_write: NotRequired[Annotated[int, Field(ge=0, description="Input written to the cache; else as input.")]]
    cache_write_1h: NotRequired[
        Annotated[int, Field(ge=0, description="Input written to the cache for an hour; else as cache_write.")]
    ]
    reasoning: NotRequired[Annotated[int, Field(ge=0, description="Reasoning tokens; else as output.")]]


class LongContextPrice(_TokenPrices):
    """The prices of a whole request with more than `above` input tokens."""

    above: Count


class _Price(_TokenPrices):
    images: NotRequired[dict[str, int]]
    request: NotRequired[Annotated[int, Field(ge=0, description="Micro-credits per request; else 0.")]]
    long_context: NotRequired[LongContextPrice]


class TierPrice(_Price):
    """The prices of a service tier; `images` and `request`, if absent, are the model's."""


class _Day(TypedDict("_Day", {"from": Annotated[str, Field(description="The day, from 0:00 UTC on.")]})):
    pass


class PriceChange(_Price, _Day):
    """All prices of the model from a day on."""

    service_tiers: NotRequired[dict[str, TierPrice]]


class ModelPrice(_Price):
    """Integers, in `unit`: for input and output tokens, or for an image of a size (or of a quality and size)."""

    unit: str
    service_tiers: NotRequired[dict[str, TierPrice]]
    cached_answer: NotRequired[
        Annotated[int, Field(ge=0, description="Micro-credits of an answer from the cache; else 0.")]
    ]
    qualities: NotRequired[Annotated[list[str], Field(description="Qualities with the same price as the size.")]]
    changes: NotRequired[
        Annotated[list[PriceChange], Field(description="Prices to come. A job has the price of when it is accepted.")]
    ]
    version: str


class ModelHealth(TypedDict):
    """How a model has served of late, by recent calls of all customers."""

    status: Annotated[
        Literal["ok", "degraded", "paused", "unknown"],
        Field(description="`degraded`: a tenth of recent calls or more failed; `paused`: by the operator."),
    ]
    error_rate: Annotated[float | None, Field(description="The share of failed calls, from 0 to 1.")]
    first_seconds: Annotated[float | None, Field(description="Until the first token of streamed answers.")]
    total_seconds: Annotated[float | None, Field(description="Until the end of answers.")]


class _Optional(TypedDict):
    default_max_tokens: NotRequired[
        Annotated[
            int,
            Field(description="The limit of an answer if a request has no `max_tokens`; absent: `max_output_tokens`."),
        ]
    ]
    fallbacks: NotRequired[
        Annotated[list[str], Field(description="Models that are asked next, unless a request names others.")]
    ]
    health: NotRequired[ModelHealth]


class Model(_Optional):
    """A model."""

    id: str
    object: Literal["model"]
    created: Time
    owned_by: str
    provider: str
    type: JobType
    purpose: str
    max_output_tokens: int | None
    context_tokens: Annotated[int | None, Field(description="Of request and response together; null: unknown.")]
    capabilities: Annotated[
        list[Capability] | None, Field(description="What requests may ask for; null: unknown, nothing is refused.")
    ]
    price: ModelPrice


#: When every model is said to have been made: a day of which nothing depends.
CREATED: Final = 1_761_955_200


def model_object(model: CatalogueModel, version: str) -> Model:
    """A model of the catalogue, with its price of that version of it."""
    limit: _Optional = {"default_max_tokens": model.default_max_tokens} if model.default_max_tokens else {}
    return {
        "id": model.id,
        "object": "model",
        "created": CREATED,
        "owned_by": model.provider,
        "provider": model.provider,
        "type": model.type,
        "purpose": model.purpose,
        "max_output_tokens": model.max_output or None,
        **limit,
        "context_tokens": model.context or None,
        "capabilities": model.capabilities,
        "fallbacks": list(model.fallbacks),
        "price": _model_price(model, version),
    }


def _model_price(model: CatalogueModel, version: str) -> ModelPrice:
    unit = "micro-credits per image" if model.images else "micro-credits per million tokens"
    shown = cast(ModelPrice, {"unit": unit, **_price(model), "version": version})
    if model.cached_answer:
        shown["cached_answer"] = model.cached_answer
    if model.qualities:
        shown["qualities"] = model.qualities
    if model.service_tiers:
        shown["service_tiers"] = {name: _price(tier) for name, tier in model.service_tiers.items()}
    if model.price_changes:
        shown["changes"] = [_change(one) for one in model.price_changes]
    return shown


def _change(one: PriceChangeRow) -> PriceChange:
    """The prices from a day on."""
    shown = cast(PriceChange, {"from": one.day.isoformat(), **_price(one)})
    if one.service_tiers:
        shown["service_tiers"] = {name: _price(tier) for name, tier in one.service_tiers.items()}
    return shown


#: Optional prices, by their names in a row; 0 of `request` is none.
_OPTIONAL: Final = ("cached_input", "cache_write", "cache_write_1h", "reasoning", "request")


def _price(row: CatalogueModel | PriceTable) -> TierPrice:
    """The prices that a row has."""
    prices: dict[str, Any] = {"images": dict(row.images)} if row.images else {}
    if row.input or row.output or not row.images:
        prices["input"], prices["output"] = row.input, row.output
    prices.update((name, price) for name in _OPTIONAL if (price := getattr(row, name)) is not None)
    if row.request == 0:
        del prices["request"]
    if row.long_context is not None:
        prices["long_context"] = row.long_context.model_dump(exclude_none=True)
    return cast(TierPrice, prices)


#: From which share of failed calls on a model is degraded, and how many recent calls, by weight, say something.
DEGRADED: Final = 0.1
LEAST_CALLS: Final = 0.5


def model_health(found: OfferStatistics | None, *, paused: bool) -> ModelHealth:
    """What is known of a model's calls; None: nothing is."""
    if found is None or found.calls < LEAST_CALLS:
        status: Literal["paused", "unknown"] = "paused" if paused else "unknown"
        return {"status": status, "error_rate": None, "first_seconds": None, "total_seconds": None}
    times = [None if one is None else round(one, 3) for one in (found.first_seconds, found.total_seconds)]
    return {
        "status": "paused" if paused else "degraded" if found.error_rate >= DEGRADED else "ok",
        "error_rate": round(found.error_rate, 4),
        "first_seconds": times[0],
        "total_seconds": times[1],
    }
