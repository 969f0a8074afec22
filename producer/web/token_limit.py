"""The tokens a minute of a key: what a request counts for is taken once it has been read, before it is accepted.

A request counts for about as many tokens as its input has, and as many as it lets its answers have; what they have in
the end changes nothing. Lines of batches do not count: they are sent at the providers' pace, not the caller's.
"""

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from producer.admission.limits.rates import TOKENS_OF_KEY
from producer.context import Context
from producer.web.dialect import dialect_of
from shared.errors import InvalidRequest
from shared.key_holders import KeyHolder
from shared.submissions import token_estimates
from shared.submissions.catalogue import catalogue
from shared.submissions.schemas import Submission

#: The cause of a refusal in one word.
TOO_LARGE: Final = "exceeds_tokens_per_minute"


async def take_tokens(request: Request, context: Context, holder: KeyHolder, submissions: Sequence[Submission]) -> None:
    """Count a request's tokens against its key's limit, if it has one: any answer tells what is left. 429, or 400.

    400: it counts for more than the key may send in any minute, so that to wait would not help.
    """
    rate = TOKENS_OF_KEY.of(holder)
    if rate is None:
        return
    overheads = catalogue().overheads
    tokens = sum(token_estimates.reserved(one, overheads) for one in submissions)
    if tokens > rate.limit:
        raise InvalidRequest(
            f"the request counts for {tokens:,} tokens, more than the {rate.limit:,} per minute of this API key; "
            "shorten it, or set a lower max_tokens",
            reason=TOO_LARGE,
        )
    if tokens:
        allowance = await context.limits.admit(rate, tokens)
        request.scope["fusionai_headers"].extend(dialect_of(request).limit_headers(allowance, "tokens"))
        allowance.check("tokens")
