"""Fusionbase's dialect, under /api/v2: chat about entities of a data hub (`linked_context`)."""

from functools import partial

from producer.dialects.fusionbase import document, manners, routes
from producer.web import rate_headers
from producer.web.dialect import Dialect
from producer.web.keys import read_key

DIALECT = Dialect(
    name="fusionbase",
    prefixes=("/api/v2",),
    router=routes.router,
    key_of=partial(
        read_key, names=("x-api-key",), missing="missing API key: send it in the header X-API-KEY: fusionai_live_…"
    ),
    refuse=manners.refuse,
    framing=manners.framing,
    limit_headers=rate_headers.limit_headers,
    dress=manners.dress,
    document=document.PART,
    bought=frozenset({"/api/v2/chat/completions"}),
)
