"""GET /openapi.json and GET /docs. The page loads everything from this server."""

import asyncio
import base64
import hashlib
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from producer.openapi.document import build
from producer.web.dialect import Dialects
from producer.web.router import Router
from producer.web.rows import JSON, Answer, Row
from shared.errors import NotFound

router = Router()

#: Swagger UI, as the fastapi-offline wheel carries it.
_ASSETS: Final = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")

#: No validator badge: it would send the document to somebody else.
_START: Final = """
SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null,
                 defaultModelsExpandDepth: 0, docExpansion: "list"});
"""
_PAGE: Final = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>FusionAI API</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<noscript>This page requires JavaScript. It displays <a href="openapi.json">openapi.json</a>.</noscript>
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>{_START}</script>
</html>
"""
_START_HASH: Final = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()
#: Swagger UI sets styles from its script, and has its icons in data URLs.
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"script-src 'self' 'sha256-{_START_HASH}'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class Document:
    """The document as it is sent; made when it is first asked for, since that takes half a second of a core."""

    def __init__(self, app: Starlette, dialects: Dialects) -> None:
        self._app, self._dialects = app, dialects

    @cached_property
    def content(self) -> bytes:
        """Its bytes."""
        return orjson.dumps(build(self._app.routes, self._dialects))

    @cached_property
    def etag(self) -> str:
        """The ETag of these."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def describe(app: Starlette, dialects: Dialects) -> None:
    """Give an app that has all its routes its document."""
    app.state.document = Document(app, dialects)


@router.get(
    "/openapi.json",
    doc=Row(
        "Service",
        {
            200: Answer("The OpenAPI 3.1 document.", {JSON: {"type": "object"}}, ("ETag",)),
            304: Answer("Not modified since the version named in If-None-Match.", {}, ("ETag",)),
        },
        keyless=True,
    ),
)
async def show_document(request: Request) -> Response:
    """The OpenAPI document of this API."""
    document: Document = request.app.state.document
    etag = await asyncio.to_thread(lambda: document.etag)
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(document.content, 200, headers, "application/json")


@router.get(
    "/docs",
    doc=Row(
        "Service", {200: Answer("The documentation as a web page.", {"text/html": {"type": "string"}})}, keyless=True
    ),
)
async def show_docs(request: Request) -> Response:
    """Interactive API documentation."""
    headers = {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(_PAGE, 200, headers, "text/html")


@router.get("/docs/{name}", doc=None)
async def show_asset(request: Request, name: str) -> Response:
    """A file that the page needs."""
    if name not in _ASSETS:
        raise NotFound(f"not found: /docs/{name[:100]}")
    headers = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
    return FileResponse(_static() / name, headers=headers)


def _static() -> Path:
    """The folder of Swagger UI's files in the installed wheel, which is not imported: it would import FastAPI."""
    found = find_spec("fastapi_offline")
    if found is None or found.origin is None:
        raise NotFound("not found: the files of this page are not installed")
    return Path(found.origin).parent / "static"
