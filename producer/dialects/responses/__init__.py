"""OpenAI's Responses API, under /v1/responses: one call of a model, which is a job; no loop of tools on the server."""

from functools import partial

from producer.dialects.responses import document, manners, routes
from producer.web import rate_headers
from producer.web.dialect import Dialect
from producer.web.keys import read_key
from shared.dialects.responses.lines import LINES

DIALECT = Dialect(
    name="responses",
    prefixes=("/v1/responses", "/responses"),
    router=routes.router,
    key_of=partial(
        read_key,
        names=("authorization",),
        missing="missing API key: send it in the header Authorization: Bearer fusionai_live_…",
    ),
    refuse=manners.refuse,
    framing=manners.framing,
    limit_headers=rate_headers.limit_headers,
    document=document.PART,
    bought=frozenset({"/responses"}),
    lines=LINES,
)
