"""The model object, made from a row of the catalogue. Pure."""

from typing import Annotated, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from shared.objects.fields import Count, Time
from shared.submissions.catalogue import CatalogueModel
from shared.submissions.catalogue_rows import Capability
from shared.submissions.job_types import JobType


class TierPrice(TypedDict):
    """The prices of input and output tokens in a service tier."""

    input: Count
    output: Count


class _Price(TypedDict):
    unit: str
    input: NotRequired[Count]
    output: NotRequired[Count]
    cached_input: NotRequired[Count]
    cache_write: NotRequired[Count]
    service_tiers: NotRequired[dict[str, TierPrice]]
    images: NotRequired[dict[str, int]]
    qualities: NotRequired[Annotated[list[str], Field(description="Qualities with the same price as the size.")]]


class ModelPrice(_Price):
    """Integers, in `unit`: for input and output tokens, or for an image of a size (or of a quality and size).

    `cached_input`, `cache_write`: for input read from or written to the provider's cache; if absent, as `input`.
    """

    version: str


class Model(TypedDict):
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
    return {
        "id": model.id,
        "object": "model",
        "created": CREATED,
        "owned_by": model.provider,
        "provider": model.provider,
        "type": model.type,
        "purpose": model.purpose,
        "max_output_tokens": model.max_output or None,
        "context_tokens": model.context or None,
        "capabilities": model.capabilities,
        "price": {**_price(model), "version": version},
    }


def _price(model: CatalogueModel) -> _Price:
    shown: _Price = {"unit": "micro-credits per image" if model.images else "micro-credits per million tokens"}
    if model.images:
        shown["images"] = dict(model.images)
    else:
        shown["input"], shown["output"] = model.input, model.output
        if model.cached_input is not None:
            shown["cached_input"] = model.cached_input
        if model.cache_write is not None:
            shown["cache_write"] = model.cache_write
    if model.qualities:
        shown["qualities"] = model.qualities
    if model.service_tiers:
        shown["service_tiers"] = {
            name: {"input": tier.input, "output": tier.output} for name, tier in model.service_tiers.items()
        }
    return shown
