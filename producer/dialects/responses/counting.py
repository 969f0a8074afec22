"""Estimates the tokens of what a body of the Responses API asks, without asking it."""

from functools import partial

from starlette.requests import Request

from producer.dialects.responses import reading
from producer.web.body import MOST_BYTES, large, read_body
from producer.web.request import enter
from shared.dialects.responses import requests
from shared.dialects.responses.objects import InputTokens
from shared.errors import InvalidRequest, RequestRefused
from shared.key_holders import KeyHolder
from shared.submissions import token_estimates
from shared.submissions.catalogue import catalogue
from shared.submissions.quote import offers


async def count(request: Request) -> InputTokens:
    """About how many tokens the input of a response would have; 400 for what would be one if it were asked for."""
    context, holder = await enter(request)
    body = await read_body(request, most_bytes=MOST_BYTES)
    for name in body.keys() - requests.InputTokensRequest.model_fields.keys():
        raise InvalidRequest(f"{name[:100]}: unknown field", param=name[:100])
    read = await reading.reader(request, context, holder, body)
    counted: int = await context.parsers.run(large(request), partial(_counted, read, holder), holder.account_id)
    return {"object": "response.input_tokens", "input_tokens": counted}


def _counted(read: reading.ResponseReader, holder: KeyHolder) -> int:
    submission = read(holder.ignores_unknown)
    try:
        offers(submission, catalogue(), test=holder.test)
    except RequestRefused as error:
        raise read.renamed(error) from None
    return token_estimates.asked(submission.request, catalogue().overheads)
