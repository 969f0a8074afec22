"""Fluence's dialect, under /fluence/v1: chat, with two limits of its own for each key."""

from typing import Final

from producer.admission.limits.rates import MINUTE, Dimension
from producer.dialects.fluence import document, manners, routes
from producer.web import rate_headers
from producer.web.dialect import Dialect
from producer.web.keys import read_bearer

HOUR: Final = 3600.0
#: Requests of one key, beside the limit of its account's plan.
PER_MINUTE: Final = 100
PER_HOUR: Final = 1000

DIALECT = Dialect(
    name="fluence",
    prefixes=("/fluence/v1",),
    bases=("/v1",),
    router=routes.router,
    key_of=read_bearer,
    refuse=manners.refuse,
    framing=manners.framing,
    limit_headers=rate_headers.limit_headers,
    document=document.PART,
    dimensions=(
        Dimension(lambda holder: f"fluence.minute.{holder.key_id}", lambda holder: PER_MINUTE, MINUTE),
        Dimension(lambda holder: f"fluence.hour.{holder.key_id}", lambda holder: PER_HOUR, HOUR),
    ),
    bought=frozenset({"/fluence/v1/chat/completions"}),
    caches=True,
)
