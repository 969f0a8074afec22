"""ASGI middleware around every request: its id and dialect, the common headers, the answer to unhandled errors."""

import asyncio
import logging
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producer.web.dialect import Dialects
from producer.web.refusals import logged, refuse
from shared import clock
from shared.errors import Unavailable

log = logging.getLogger(__name__)


class Envelope:
    """Finds the dialect of every request; adds the request id, the API version and a route's `fusionai_headers`.

    What nobody caught becomes a plain 500 here: further out, the whole error would be logged, prompts and all.
    Whatever a route has put into `fusionai_ended` is called when the request is over.
    """

    def __init__(self, app: ASGIApp, dialects: Dialects) -> None:
        self._app = app
        self._dialects = dialects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        ended: list[Callable[[], None]] = []
        scope["fusionai_ended"] = ended
        try:
            await self._answer(scope, receive, send)
        finally:
            for callback in ended:
                callback()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = clock.new_id("req")
        dialect = self._dialects.enter(scope)
        scope["request_id"] = request_id
        added: list[tuple[bytes, bytes]] = []
        scope["fusionai_headers"] = added

        began = whole = False

        async def counted() -> Message:
            nonlocal whole
            message = await receive()
            whole = not message.get("more_body", False)
            return message

        async def labelled(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"fusionai-version", b"v1"),
                    *dialect.answer_headers(request_id),
                    *added,
                ]
            await send(message)

        try:
            await self._app(scope, counted, labelled)
        except asyncio.CancelledError:  # by a server that stops
            if began:  # from here on nobody waits for this task; the server would log where it was
                log.info("request %s: response interrupted because the server is shutting down", request_id)
                return
            refusal = await refuse(Request(scope), _stopping(whole))
            if whole:
                refusal.headers["x-should-retry"] = "false"
            await refusal(scope, receive, labelled)
        except Exception as error:
            refusal = await refuse(Request(scope), logged(Request(scope), error))
            if began:  # from None: the server writes what it catches into the log
                raise ConnectionResetError("response interrupted") from None
            await refusal(scope, receive, labelled)


def _stopping(whole: bool) -> Unavailable:
    """Refuses a request that outlasts the drain. `whole`: perhaps it was accepted, and a retry would buy twice."""
    if whole:
        return Unavailable(
            "the server is shutting down, outcome unknown: check whether the request took effect before retrying"
        )
    said = "the server is shutting down before it received the whole request; nothing was accepted, retry the request"
    return Unavailable(said, retry_after_seconds=2)
