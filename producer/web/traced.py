"""ASGI middleware around everything: a span for each request, as long as its answer, where traces are on."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import telemetry

#: Asked by machines, every few seconds.
QUIET = ("/healthz", "/readyz", "/metrics")


class Traced:
    """Goes on from the caller's `traceparent`. Of its address the route alone is told, and of its headers nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"] in QUIET or not telemetry.on():
            return await self._app(scope, receive, send)
        parent, method = Headers(scope=scope).get("traceparent"), scope["method"]
        with telemetry.span(method, "server", parent=parent, root=True, http__request__method=method) as span:

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _tell(span, scope, message)
                await send(message)

            await self._app(scope, receive, noted)


def _tell(span: telemetry.Span, scope: Scope, start: Message) -> None:
    """What is known once the answer begins: its status, its route, and its job."""
    route, status = _route(scope), start["status"]
    headers = Headers(raw=start["headers"])
    span.set(http__route=route, http__response__status_code=status, url__scheme=scope["scheme"])
    span.set(fusionai__request__id=headers.get("x-request-id"), fusionai__job__id=headers.get("fusionai-job-id"))
    if route:
        span.name(f"{scope['method']} {route}")
    if status >= 500:
        span.fail(str(status))


def _route(scope: Scope) -> str | None:
    """The path with the names of what changes in it; None: it is no route of ours."""
    if "endpoint" not in scope:
        return None
    path: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        path = path.replace(str(value), f"{{{name}}}", 1)
    return path
