"""What the example dialect can do: say something to a model."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from producer.web.calls import serve
from producer.web.request import answer, enter
from producer.web.router import Router
from producer.web.rows import JSON, Answer, Row
from shared.errors import InsufficientCredits, InvalidRequest, NotFound
from tests.integration.example_dialect.document import SAID

router = Router()


def to_chat(body: dict[str, Any]) -> dict[str, Any]:
    """The native request; a stream has the usage in any case."""
    if set(body) - {"live"} != {"to", "text"}:
        raise InvalidRequest("send to and text")
    asked = {"model": body["to"], "messages": [{"role": "user", "content": body["text"]}], "max_tokens": 10}
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if body.get("live") else {}
    return {**asked, **streamed}


@router.post(
    "/say",
    doc=Row(
        "Example",
        {200: Answer("What was said.", {JSON: SAID}, ("X-Example-Left",))},
        "ExampleSay",
        errors=(InsufficientCredits,),
        once=True,
        examples={"Hello": {"to": "gpt-4", "text": "hello"}},
        needs="jobs:write",
    ),
)
async def say(request: Request) -> Response:
    """Say something."""
    return await serve(request, "chat.completion", translate=to_chat)


@router.get(
    "/sayings/{id}",
    doc=Row("Example", {200: Answer("It.", {JSON: SAID})}, errors=(NotFound,), needs="jobs:read"),
)
async def show_saying(request: Request, id: str) -> Response:
    """One of the sayings that there are not."""
    context, holder = await enter(request)
    if id == "broken":
        return answer(await context.database.read(_broken))
    raise NotFound(f"there is no saying {id!r} of {holder.account_id}")


def _broken(connection: object) -> None:
    raise RuntimeError("a bug")
