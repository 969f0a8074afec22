"""Infuzu's dialect, under /infuzu/v1: chat whose model is a name, an object or left out (Model Selection)."""

from functools import partial

from producer.dialects.infuzu import document, manners, routes
from producer.web import rate_headers
from producer.web.dialect import Dialect
from producer.web.keys import read_key

DIALECT = Dialect(
    name="infuzu",
    prefixes=("/infuzu/v1",),
    bases=("/v1", "/api/v1"),
    router=routes.router,
    key_of=partial(
        read_key,
        names=("infuzu-api-key", "authorization"),
        missing="missing API key: send it in the header Infuzu-API-Key or as Authorization: Bearer <API key>",
    ),
    refuse=manners.refuse,
    framing=manners.framing,
    limit_headers=rate_headers.limit_headers,
    dress=manners.dress,
    document=document.PART,
    bought=frozenset({"/infuzu/v1/chat/completions"}),
)
