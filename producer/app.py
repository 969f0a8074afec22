"""The web process: `python -m producer.app`. Mounts the dialects and the document; /healthz, /readyz, /metrics."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producer import openapi
from producer.context import Desk
from producer.dialects import DIALECTS
from producer.metrics import Metrics
from producer.server import serve
from producer.web.router import Router
from shared import clock, logs
from shared.broker.bell import bell
from shared.db import AmbiguousCommitError, Database, is_away
from shared.errors import FusionError, InternalError, InvalidRequest, MethodNotAllowed, NotFound, Unavailable
from shared.settings import PUBLISHED_SECRET, keep_private, settings

log = logging.getLogger(__name__)

_own = Router()
_metered = Router()

#: How long it is believed that the database answers, in seconds: anybody may ask.
READY_SECONDS = 0.5
_READY = b'{"status":"ok","database":true}'


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    database = Database(settings().database_url)
    app.state.desk = Desk(database, bell())
    app.state.metrics = Metrics(database, settings().redis_url)
    yield
    await app.state.desk.close()
    bell().close()
    await asyncio.to_thread(database.close)


class Envelope:
    """Gives every answer its request id, the API version, and what a route has put into `fusionai_headers`.

    What nobody caught becomes a plain 500 here: further out, the whole error would be logged, prompts and all.
    Whatever a route has put into `fusionai_ended` is called when the request is over.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        ended: list[Callable[[], None]] = []
        scope["fusionai_ended"] = ended
        try:
            await self._answer(scope, receive, send)
        finally:
            for told in ended:
                told()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = clock.new_id("req")
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
                    *added,
                ]
            await send(message)

        try:
            await self._app(scope, counted, labelled)
        except asyncio.CancelledError:  # by a server that stops
            if began:  # from here on nobody waits for this task; the server would log where it was
                log.info("request %s: response interrupted because the server is shutting down", request_id)
                return
            refusal = await _refuse(Request(scope), _stopping(whole))
            if whole:
                refusal.headers["x-should-retry"] = "false"
            await refusal(scope, receive, labelled)
        except Exception as error:
            refusal = await _refuse(Request(scope), _logged(Request(scope), error))
            if began:  # from None: the server writes what it catches into the log
                raise ConnectionResetError("response interrupted") from None
            await refusal(scope, receive, labelled)


def make_app() -> Starlette:
    """The whole application."""
    every = Router()
    for prefix, router in DIALECTS:
        every.include(router, prefix)
    for part in (_own, *(() if settings().metrics_port else (_metered,)), openapi.router):
        every.include(part)
    app = _refusing(Starlette(routes=every.routes, lifespan=_lifespan))
    openapi.describe(app)
    return app


def make_metrics_app(api: Starlette) -> Starlette:
    """What the metrics' own port serves: /metrics and nothing else, of what the API's app holds."""
    app = _refusing(Starlette(routes=_metered.routes))
    app.state = api.state
    return app


def _refusing(app: Starlette) -> Starlette:
    """The app, which says what it refuses in our words and under our headers."""
    app.router.redirect_slashes = False  # a POST would be sent again, with its key, to whatever the Host header says
    app.add_exception_handler(FusionError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(SQLAlchemyError, _delay)
    app.add_exception_handler(AmbiguousCommitError, _delay)
    app.add_middleware(Envelope)
    return app


@_own.get("/healthz")
async def healthz(request: Request) -> Response:
    """Liveness probe."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@_own.get("/readyz")
async def readyz(request: Request) -> Response:
    """Readiness probe: whether the database is available and the server is not shutting down.

    The broker is not checked: while it is unavailable, jobs are delayed but not lost.
    """
    desk: Desk = request.app.state.desk
    if desk.stopping:
        return Response(b'{"status":"stopping"}', 503, media_type="application/json")
    if clock.monotonic() < desk.ready_until:
        return Response(_READY, media_type="application/json")
    try:
        async with asyncio.timeout(3):
            await desk.database.read(lambda connection: connection.execute(text("SELECT 1 FROM jobs LIMIT 1")).first())
    except Exception as error:
        return _away("not ready", error)
    desk.ready_until = clock.monotonic() + READY_SECONDS
    return Response(_READY, media_type="application/json")


@_metered.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    shown: Metrics = request.app.state.metrics
    try:
        return Response(await shown.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
    except Exception as error:
        return _away("metrics unavailable", error)


def _away(what: str, error: Exception) -> Response:
    known = isinstance(error, TimeoutError) or is_away(error)
    log.warning("%s: %s", what, type(error).__name__, exc_info=None if known else error)
    return Response(b'{"status":"unavailable","database":false}', 503, media_type="application/json")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, FusionError)
    shown = {"message": error.message, "type": error.type, "code": error.status, "request_id": _id(request)}
    if error.param is not None:
        shown["param"] = error.param
    if error.reason is not None:
        shown["reason"] = error.reason
    shown.update(error.details)
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.job_id is not None:
        headers.update({"FusionAI-Job-Id": error.job_id, "x-should-retry": "false"})
    return Response(orjson.dumps({"error": shown}), error.status, headers, "application/json")


async def _refuse_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    known: dict[int, FusionError] = {
        404: NotFound(f"not found: {path}"),
        405: MethodNotAllowed(f"method not allowed: {request.method} {path}"),
    }
    answer = await _refuse(request, known.get(error.status_code, InvalidRequest("the request could not be parsed")))
    answer.headers.update(error.headers or {})
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(_methods(request))
    return answer


def _methods(request: Request) -> list[str]:
    """Every method that the path takes; the router names those of the first route alone."""
    fitting = [route for route in request.app.routes if route.path_regex.match(request.url.path)]
    return sorted({method for route in fitting for method in route.methods or ()})


async def _delay(request: Request, error: Exception) -> Response:
    """The database is away: nothing was accepted. When its COMMIT broke, perhaps it was: a retry might buy twice."""
    log.error("request %s: the database is unavailable: %s", _id(request), type(error).__name__)
    if isinstance(error, AmbiguousCommitError):
        unsure = InternalError("outcome unknown: check whether the request took effect before retrying")
        answer = await _refuse(request, unsure)
        answer.headers["x-should-retry"] = "false"
        return answer
    if not is_away(error):
        return await _refuse(request, _logged(request, error))
    return await _refuse(request, Unavailable("the database is unavailable; retry later", retry_after_seconds=2))


def _stopping(whole: bool) -> Unavailable:
    """What a request is told that outlasts the drain. `whole`: perhaps it was accepted, and a retry would buy twice."""
    if whole:
        return Unavailable(
            "the server is shutting down, outcome unknown: check whether the request took effect before retrying"
        )
    said = "the server is shutting down before it received the whole request; nothing was accepted, retry the request"
    return Unavailable(said, retry_after_seconds=2)


def _logged(request: Request, error: Exception) -> InternalError:
    """Where it happened is logged, its message is not: that may hold what the caller sent."""
    log.error("request %s failed: %s", _id(request), logs.trace(error))
    return InternalError("internal server error; include the request ID when you contact support")


def _id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))


def main() -> None:
    """Serve until SIGTERM."""
    logs.start()
    keep_private()
    if settings().key_secret == PUBLISHED_SECRET:
        log.warning(
            "API keys are hashed with the published default secret: set FUSIONAI_KEY_SECRET, or use `fusionai up`"
        )
    app = make_app()
    serve.serve(app, lambda: app.state.desk, make_metrics_app(app) if settings().metrics_port else None)


if __name__ == "__main__":
    main()
