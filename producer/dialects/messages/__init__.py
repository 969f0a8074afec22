"""Anthropic's Messages, under /v1/messages: what its SDK and coding agents send, for any model of the catalogue."""

from functools import partial

from producer.dialects.messages import batches, document, manners, models, routes
from producer.dialects.messages.stream import MessageEvents
from producer.web.dialect import Dialect
from producer.web.keys import read_key
from producer.web.router import Router
from shared.dialects.messages import answers
from shared.dialects.messages.lines import LINES

router = Router()
for part in (routes, batches, models):
    router.include(part.router)

DIALECT = Dialect(
    name="messages",
    prefixes=("/v1/messages",),
    bases=("/v1",),
    claims=("/v1/models",),
    is_claimed_by=manners.is_from_a_client,
    router=router,
    key_of=partial(
        read_key,
        names=("x-api-key", "authorization"),
        missing="missing API key: send it in the header x-api-key or as Authorization: Bearer <API key>",
    ),
    refuse=manners.refuse,
    framing=MessageEvents,
    limit_headers=manners.limit_headers,
    dress=answers.dress,
    keeps_thoughts=MessageEvents.keeps_thoughts,
    answer_headers=manners.answer_headers,
    document=document.PART,
    bought=frozenset({"/v1/messages", "/v1/messages/batches"}),
    lines=LINES,
)
