"""Routes of OpenAI's Responses API. Source: openai-python, `openai.resources.responses`."""

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response as Answered

from producer.context import Context
from producer.dialects.responses import counting, history, lookup, serving
from producer.dialects.responses.document import EVENTS
from producer.operations import jobs
from producer.web.call_rows import call
from producer.web.request import answer, claim_of, enter, flag_of, page_of
from producer.web.router import Router
from producer.web.rows import JSON, PAGE, Answer, Row, one, query
from shared.dialects.responses import making
from shared.dialects.responses.objects import DeletedResponse, InputItem, InputTokens, Response, ResponseItems
from shared.errors import Conflict, InvalidRequest, NotFound, Timeout, UpstreamError
from shared.key_holders import KeyHolder

router = Router()

_HELLO: Final = "Write a one-sentence bedtime story about a unicorn."
_NUMBER: Final = re.compile(r"[0-9]{1,15}")
#: Names under which SDKs send `include`, which has no effect here.
_INCLUDE: Final = ("include", "include[]", "include[0]")
#: How long a cancel waits for a running response to end, in seconds.
_CANCEL_SECONDS: Final = 5.0


@router.post(
    "",
    doc=call(
        "Responses",
        "ResponseRequest",
        Response,
        streamed=EVENTS,
        examples={
            "A text": {"model": "gpt-4", "input": _HELLO},
            "In the background": {"model": "claude-3-opus", "input": _HELLO, "background": True},
            "A function": {
                "model": "gpt-4",
                "instructions": "Use the tools.",
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "Find my last invoice."}]}],
                "tools": [
                    {
                        "type": "function",
                        "name": "get_invoices",
                        "parameters": {"type": "object", "properties": {"customerId": {"type": "string"}}},
                    }
                ],
            },
        },
    ),
)
async def create_response(request: Request) -> Answered:
    """Create a response: one call of a model, waited for, streamed or in the background."""
    return await serving.create(request)


@router.post(
    "/input_tokens",
    doc=Row(
        "Responses",
        one("An estimate, made without asking the provider: about four bytes of text are a token.", InputTokens),
        "InputTokensRequest",
        examples={"A text": {"model": "gpt-4", "input": _HELLO}},
    ),
)
async def count_input_tokens(request: Request) -> Answered:
    """Estimate the tokens of a response's input."""
    return answer(await counting.count(request))


@router.get(
    "/{response_id}",
    doc=Row(
        "Responses",
        {200: Answer("The response, or with `stream` its events.", {JSON: Response, **EVENTS}, ("FusionAI-Job-Id",))},
        parameters=(
            query("stream", {"type": "boolean", "default": False}, "Answer with the events of the response."),
            query(
                "starting_after",
                {"type": "integer", "minimum": 0, "maximum": 10**15 - 1},
                "With `stream`: only the events after the one with this `sequence_number`.",
            ),
        ),
        errors=(NotFound, Conflict, UpstreamError, Timeout),
    ),
)
async def get_response(request: Request, response_id: str) -> Answered:
    """Get a response as it stands, or its events."""
    context, holder = await enter(request)
    streams = flag_of(request, "stream", usual=False)
    after = request.query_params.get("starting_after")
    if after is not None and not _NUMBER.fullmatch(after):
        raise InvalidRequest("starting_after must be a sequence_number", param="starting_after")
    if streams:
        number = -1 if after is None else int(after)
        job_id = await serving.shown(context, holder, lookup.stored, response_id, _job_id)
        return await serving.events(request, context, holder, job_id, starting_after=number)
    return await _answer(context, holder, response_id)


@router.delete(
    "/{response_id}",
    doc=Row(
        "Responses",
        one("The response cannot be retrieved any more.", DeletedResponse),
        errors=(NotFound, Conflict),
    ),
)
async def delete_response(request: Request, response_id: str) -> Answered:
    """Delete a response that has ended: it cannot be retrieved or gone on from. Its job is kept as long as any."""
    context, holder = await enter(request)
    job_id, changed = await serving.shown(context, holder, lookup.stored, response_id, lookup.forgotten)
    await context.database.write(lookup.forget, job_id, changed)
    return answer(DeletedResponse(id=response_id, object="response", deleted=True))


@router.post(
    "/{response_id}/cancel",
    doc=Row(
        "Responses",
        one("The response.", Response, "FusionAI-Job-Id"),
        errors=(NotFound, Conflict),
        once=True,
    ),
)
async def cancel_response(request: Request, response_id: str) -> Answered:
    """Cancel a response in the background; one that has ended stays as it is."""
    context, holder = await enter(request)
    claim = claim_of(request, holder, {})
    job_id, over = await serving.shown(context, holder, lookup.stored, response_id, lookup.in_background)
    if not over:
        await jobs.cancel(context.database, context.bell, context.notifier, claim, holder, job_id)
        await context.placer.await_end(job_id, holder, _CANCEL_SECONDS)
    return await _answer(context, holder, response_id)


@router.get(
    "/{response_id}/input_items",
    doc=Row(
        "Responses",
        one("A page of the items, oldest last unless `order` is `asc`.", ResponseItems),
        parameters=PAGE,
        errors=(NotFound,),
    ),
)
async def list_input_items(request: Request, response_id: str) -> Answered:
    """List the items that a response was made from, without its instructions."""
    context, holder = await enter(request)
    page, _ = page_of(request, *_INCLUDE)
    found = await serving.shown(context, holder, lookup.stored, response_id, _input_items)
    if page.order == "desc":
        found.reverse()
    if page.after is not None:
        places = [place for place, item in enumerate(found, 1) if item["id"] == page.after]
        found = found[places[0] :] if places else []
    data = found[: page.limit]
    made: ResponseItems = {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > page.limit,
    }
    return answer(made)


def _input_items(row: Mapping[str, Any]) -> list[InputItem]:
    return history.input_items(lookup.asked(row), row["id"].removeprefix("job_"))


def _job_id(row: Mapping[str, Any]) -> str:
    return str(row["id"])


async def _answer(context: Context, holder: KeyHolder, response_id: str) -> Answered:
    """The response as it stands."""
    made = await serving.shown(context, holder, lookup.stored, response_id, making.response)
    return answer(made, {"FusionAI-Job-Id": lookup.job_id_of(made["id"])})
