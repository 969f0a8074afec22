"""The routes of Messages: a message, and the count of its input's tokens."""

from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from producer.dialects.messages.document import BETA, EVENTS, VERSION
from producer.dialects.messages.version import check_version
from producer.web.body import MOST_BYTES, large, read_body
from producer.web.call_rows import call
from producer.web.calls import serve
from producer.web.request import answer, enter
from producer.web.router import Router
from producer.web.rows import Row, one
from shared.dialects.messages import answers, requests
from shared.key_holders import KeyHolder
from shared.submissions import token_estimates
from shared.submissions.catalogue import catalogue
from shared.submissions.quote import offers
from shared.submissions.schemas import read_submission

router = Router()

_HELLO: Final = [{"role": "user", "content": "Hello, world"}]
_WEATHER: Final = {
    "name": "get_weather",
    "description": "The weather at a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


@router.post(
    "",
    doc=call(
        "Messages",
        "MessageRequest",
        answers.MessageObject,
        streamed=EVENTS,
        parameters=(VERSION, BETA),
        examples={
            "A message": {"model": "claude-3-opus", "max_tokens": 1024, "messages": _HELLO},
            "A system prompt and a tool": {
                "model": "gpt-4",
                "max_tokens": 1024,
                "system": "You answer in one sentence.",
                "tools": [_WEATHER],
                "messages": [{"role": "user", "content": [{"type": "text", "text": "Is it raining in Oslo?"}]}],
            },
        },
    ),
)
async def create_message(request: Request) -> Response:
    """Create a message, of any model of the catalogue."""
    check_version(request)
    return await serve(request, "chat.completion", translate=requests.to_native)


@router.post(
    "/count_tokens",
    doc=Row(
        "Messages",
        one("An estimate, made without asking the provider: about four bytes of text are a token.", answers.TokenCount),
        "CountRequest",
        parameters=(VERSION, BETA),
        examples={"A message": {"model": "claude-3-opus", "messages": _HELLO}},
    ),
)
async def count_tokens(request: Request) -> Response:
    """Estimate the tokens of a message's input."""
    check_version(request)
    context, holder = await enter(request)
    body = await read_body(request, most_bytes=MOST_BYTES)
    count = partial(_counted, body, holder)
    counted: int = await context.parsers.run(large(request), count, holder.account_id)
    return answer(answers.TokenCount(input_tokens=counted))


def _counted(body: dict[str, Any], holder: KeyHolder) -> int:
    """400 for what would be one if it were sent as a message."""
    asked = requests.to_counted(body).body
    submission = read_submission("chat.completion", asked, ignore_unknown=holder.ignores_unknown)
    offers(submission, catalogue(), test=holder.test)
    return token_estimates.asked(submission.request, catalogue().overheads)
