"""ASGI middleware before the API: what is at /console goes to the console, and a browser at / is led there."""

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from producer.console.site import Site


class Front:
    """Passes everything else on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._site = Site()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        path = scope.get("path", "") if scope["type"] == "http" else ""
        if path == "/console" or path.startswith("/console/"):
            await self._site(scope, receive, send)
        elif path == "/" and _is_browser(scope):
            await RedirectResponse("/console", 303)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_browser(scope: Scope) -> bool:
    return scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", "")
