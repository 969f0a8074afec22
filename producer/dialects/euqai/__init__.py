"""Euqai's dialect, under /euqai/v1: chat with text, images shown and images made, by a team of models."""

from producer.dialects.euqai import document, manners, routes
from producer.web import rate_headers
from producer.web.dialect import Dialect
from producer.web.keys import read_bearer

DIALECT = Dialect(
    name="euqai",
    prefixes=("/euqai/v1",),
    bases=("/v1",),
    router=routes.router,
    key_of=read_bearer,
    refuse=manners.refuse,
    framing=manners.framing,
    limit_headers=rate_headers.limit_headers,
    dress=manners.dress,
    document=document.PART,
    bought=frozenset({"/euqai/v1/chat/completions"}),
)
