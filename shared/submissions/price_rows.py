"""The prices in a row of the catalogue: of its model, of each service tier, of long context, and of days to come.

All are integers, in micro-credits: per million tokens, per image, per request. One that is absent is as the next more
general one of the same table: `cache_write_1h` as `cache_write`; `cache_write` and `cached_input` as `input`;
`reasoning` as `output`. The tables of a tier and of long context stand for themselves: nothing of the usual price
applies to their tokens. A tier without `images` or `request` has those of the model.
"""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.money.pricing import LongContext, UnitPrices

#: The most that a price may be, in micro-credits: a million credits. What a job comes to at such a price, whatever
#: usage its provider reports, still fits into 64 bits.
MOST_MICROS: Final = 10**12
#: Micro-credits.
Micros = Annotated[int, Field(strict=True, ge=0, le=MOST_MICROS)]


class LongContextRow(BaseModel):
    """The prices of a whole request whose input has more than `above` tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    above: int = Field(strict=True, gt=0)
    input: Micros
    output: Micros
    cached_input: Micros | None = None
    cache_write: Micros | None = None
    cache_write_1h: Micros | None = None
    reasoning: Micros | None = None

    def prices(self) -> LongContext:
        """The same prices as part of a job's `UnitPrices`."""
        return LongContext(**self.model_dump())


class PriceTable(BaseModel):
    """A whole set of prices: of a service tier, or of a model from a day on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Micros = 0
    output: Micros = 0
    cached_input: Micros | None = None
    cache_write: Micros | None = None
    cache_write_1h: Micros | None = None
    reasoning: Micros | None = None
    #: By size, or by quality and size; none: those of the model.
    images: Mapping[str, Micros] = {}
    #: Of each request; None: the model's.
    request: Micros | None = None
    long_context: LongContextRow | None = None


class Tier(PriceTable):
    """The price of a `service_tier`."""

    @model_validator(mode="after")
    def _complete(self) -> "Tier":
        lacking = [name for name in ("input", "output") if name not in self.model_fields_set]
        if lacking and not self.images:
            raise ValueError(f"{lacking[0]} is missing")
        return self

    def price(self, usual: UnitPrices) -> UnitPrices:
        """The price of this tier; `usual` is the model's price, used for what the tier does not say."""
        return dataclasses.replace(
            usual,
            input=self.input,
            output=self.output,
            cached_input=self.cached_input,
            cache_write=self.cache_write,
            cache_write_1h=self.cache_write_1h,
            reasoning=self.reasoning,
            images=dict(self.images) or usual.images,
            request=usual.request if self.request is None else self.request,
            long_context=self.long_context.prices() if self.long_context else None,
        )


def _day(given: Any) -> date:
    """A day of TOML's own, or as text; nothing else, such as a time or a number, is one."""
    try:
        if isinstance(given, str) and date.fromisoformat(given).isoformat() == given:
            return date.fromisoformat(given)
        if type(given) is date:
            return given
    except ValueError:
        pass
    raise ValueError('must be a day, such as "2026-12-01"')


class DatedPrices(PriceTable):
    """All prices of a model from a day on."""

    #: The day; the prices are those from its beginning on, UTC.
    day: Annotated[date, BeforeValidator(_day)] = Field(alias="from")
    service_tiers: Mapping[str, Tier] = {}

    @property
    def micros(self) -> int:
        """When it begins, in microseconds since the epoch."""
        start = datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)
        return int(start.timestamp()) * 1_000_000
