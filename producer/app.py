"""The web process: `python -m producer.app`. Mounts the dialects and the document; /healthz, /readyz, /metrics."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from producer import objects, openapi
from producer.console.front import Front
from producer.context import Context
from producer.dialects import DIALECTS, hosts
from producer.metrics import Metrics
from producer.server import serve
from producer.web import refusals
from producer.web.dialect import Dialect, Dialects
from producer.web.envelope import Envelope
from producer.web.router import Router
from producer.web.rows import JSON, Answer, Row, one
from producer.web.traced import Traced
from shared import clock, logs, telemetry
from shared.broker.bell import bell
from shared.db import Database, is_away, schema
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
    app.state.context = Context(database, bell())
    app.state.metrics = Metrics(database, settings().redis_url)
    yield
    await app.state.context.close()
    bell().close()
    await asyncio.to_thread(database.close)


def make_app(spoken: Sequence[Dialect] = DIALECTS) -> Starlette:
    """The whole application, in these dialects, at the hosts that the settings name as well."""
    parts = (_own, *(() if settings().metrics_port else (_metered,)), openapi.router)
    own = [route.path for part in parts for route in part.routes]
    console = ("/console",) if settings().console else ()
    dialects = Dialects(hosts.bound(spoken, settings().dialect_hosts), [*own, *console])
    every = dialects.router()
    for part in parts:
        every.include(part)
    app = Starlette(routes=every.routes, lifespan=_lifespan)
    if console:
        app.add_middleware(Front)
    _refusing(app, dialects)
    app.add_middleware(Traced)  # outermost
    openapi.describe(app, dialects)
    return app


def make_metrics_app(api: Starlette) -> Starlette:
    """What the metrics' own port serves: /metrics and nothing else, of what the API's app holds."""
    app = _refusing(Starlette(routes=_metered.routes), Dialects(DIALECTS))
    app.state = api.state
    return app


def _refusing(app: Starlette, dialects: Dialects) -> Starlette:
    """The app, which says what it refuses in the words of its dialects and under our headers."""
    app.router.redirect_slashes = False  # a POST would be sent again, with its key, to whatever the Host header says
    refusals.install(app)
    app.add_middleware(Envelope, dialects=dialects)
    return app


@_own.get("/healthz", doc=Row("Service", one("OK", objects.Healthy), keyless=True))
async def healthz(request: Request) -> Response:
    """Liveness probe."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@_own.get(
    "/readyz",
    doc=Row(
        "Service",
        {
            **one("Ready", objects.Ready),
            503: Answer("Not ready", {JSON: objects.NotReady | objects.Stopping}),
        },
        keyless=True,
    ),
)
async def readyz(request: Request) -> Response:
    """Readiness probe: whether the database is available and the server is not shutting down.

    The broker is not checked: while it is unavailable, jobs are delayed but not lost.
    """
    context: Context = request.app.state.context
    if context.stopping:
        return Response(b'{"status":"stopping"}', 503, media_type="application/json")
    if clock.monotonic() < context.ready_until:
        return Response(_READY, media_type="application/json")
    try:
        async with asyncio.timeout(3):
            await context.database.read(
                lambda connection: connection.execute(text("SELECT 1 FROM jobs LIMIT 1")).first()
            )
    except Exception as error:
        return _away("not ready", error)
    context.ready_until = clock.monotonic() + READY_SECONDS
    return Response(_READY, media_type="application/json")


@_metered.get(
    "/metrics",
    doc=Row(
        "Service",
        {
            200: Answer("Metrics in the Prometheus text format.", {"text/plain": {"type": "string"}}),
            503: Answer("The database is unavailable.", {JSON: objects.NotReady}),
        },
        keyless=True,
    ),
)
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


def main() -> None:
    """Serve until SIGTERM."""
    logs.start()
    keep_private()
    if settings().key_secret == PUBLISHED_SECRET:
        log.warning(
            "API keys are hashed with the published default secret: set FUSIONAI_KEY_SECRET, or use `fusionai up`"
        )
    schema.require(settings().database_url)
    telemetry.start("web")
    bell().greet()
    app = make_app()
    try:
        serve.serve(app, lambda: app.state.context, make_metrics_app(app) if settings().metrics_port else None)
    finally:  # its end by SIGTERM is a SystemExit
        telemetry.stop()


if __name__ == "__main__":
    main()
