"""Offers: what may serve a job, each with its price and bound, fixed when the job is accepted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.money.pricing import LongContext, UnitPrices


@dataclass(slots=True, kw_only=True)
class Offer:
    """One way to serve a job. Nothing changes one; it is not frozen, as Submission is not."""

    provider: str
    model: str
    upstream: str
    input: int
    output: int
    images: Mapping[str, int] = field(default_factory=dict)
    version: str
    #: The most tokens of an answer: the limit that the provider is sent where the caller named none.
    max_output: int = 0
    omit: Sequence[str] = ()
    bound_micros: int
    #: Of input read from the provider's cache, and of input written into it; None: as other input.
    cached_input: int | None = None
    cache_write: int | None = None
    #: Of input written into the cache for an hour; None: as `cache_write`. Of reasoning; None: as other output.
    cache_write_1h: int | None = None
    reasoning: int | None = None
    #: Of each request, beside what it uses.
    request: int = 0
    #: The prices where the input is long: the fields of `shared.money.pricing.LongContext`; None: it cannot be so long.
    long_context: Mapping[str, int | None] | None = None
    #: The tier that the provider is asked for, in canonical terms; empty: what the request says, if anything.
    service_tier: str = ""
    #: Of a job's first offer, why it is that, where the order was chosen here: see `shared.submissions.chosen`.
    selection: Mapping[str, Any] | None = None
    #: Of the first offer of a job that takes several calls, how it goes: see `shared.submissions.steps.course`.
    course: Mapping[str, Any] | None = None
    #: What the bound is the price of: the parts of each call (`shared.submissions.worst_cases`; `by`: the index of the
    #: offer whose price counts). NULL: it says nothing, as those of earlier versions do.
    basis: Sequence[Mapping[str, int | str]] | None = None

    @property
    def price(self) -> UnitPrices:
        """The price that was fixed at acceptance."""
        long = self.long_context
        return UnitPrices(
            self.version,
            self.input,
            self.output,
            self.images,
            self.cached_input,
            self.cache_write,
            self.cache_write_1h,
            self.reasoning,
            self.request,
            LongContext(**{name: price for name, price in long.items() if name in _LONG}) if long else None,  # type: ignore[arg-type]
        )


_OFFERED = frozenset(Offer.__dataclass_fields__)
_LONG = frozenset(LongContext.__dataclass_fields__)


def read_offer(row: Mapping[str, Any]) -> Offer:
    """An offer as a job's row keeps it; fields that another version wrote are passed over."""
    if row.keys() <= _OFFERED:
        return Offer(**row)
    return Offer(**{name: value for name, value in row.items() if name in _OFFERED})
