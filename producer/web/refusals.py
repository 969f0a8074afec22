"""Turns every exception into an error answer of the request's dialect."""

import logging

import orjson
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from producer.web.dialect import dialect_of
from shared import logs
from shared.db import AmbiguousCommitError, is_away
from shared.errors import FusionError, InternalError, InvalidRequest, MethodNotAllowed, NotFound, Unavailable

log = logging.getLogger(__name__)


def install(app: Starlette) -> None:
    """Let an app refuse so."""
    app.add_exception_handler(FusionError, refuse)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(SQLAlchemyError, _delay)
    app.add_exception_handler(AmbiguousCommitError, _delay)


async def refuse(request: Request, error: Exception) -> Response:
    """The answer that says what was wrong."""
    assert isinstance(error, FusionError)
    refusal = dialect_of(request).refuse(error, _id(request))
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    headers.update(refusal.headers)
    if error.job_id is not None:
        headers.update({"FusionAI-Job-Id": error.job_id, "x-should-retry": "false"})
    return Response(orjson.dumps(refusal.content), refusal.status or error.status, headers, "application/json")


async def _refuse_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    known: dict[int, FusionError] = {
        404: NotFound(f"not found: {path}; {_found_where(path)}"),
        405: MethodNotAllowed(f"method not allowed: {request.method} {path}"),
    }
    answer = await refuse(request, known.get(error.status_code, InvalidRequest("the request could not be parsed")))
    answer.headers.update(error.headers or {})
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(_methods(request))
    return answer


def _found_where(path: str) -> str:
    """What to do about a path that is none. Anthropic's SDK adds `/v1` to its base URL, OpenAI's does not."""
    if path.startswith("/v1/v1/"):
        return "/v1 is there twice, and the base URL has one too many (Anthropic's SDK adds its own)"
    listed = "/docs and /openapi.json list the paths that exist"
    return f"the console is at /console; {listed}" if path == "/" else listed


def _methods(request: Request) -> list[str]:
    """Every method that the path takes; the router names those of the first route alone. A path by name is no id."""
    fitting = [route for route in request.app.routes if route.path_regex.match(request.url.path)]
    named = [route for route in fitting if not route.param_convertors]
    return sorted({method for route in named or fitting for method in route.methods or ()})


async def _delay(request: Request, error: Exception) -> Response:
    """The database is away: nothing was accepted. When its COMMIT broke, perhaps it was: a retry might buy twice."""
    log.error("request %s: the database is unavailable: %s", _id(request), type(error).__name__)
    if isinstance(error, AmbiguousCommitError):
        unsure = InternalError("outcome unknown: check whether the request took effect before retrying")
        answer = await refuse(request, unsure)
        answer.headers["x-should-retry"] = "false"
        return answer
    if not is_away(error):
        return await refuse(request, logged(request, error))
    return await refuse(request, Unavailable("the database is unavailable; retry later", retry_after_seconds=2))


def logged(request: Request, error: Exception) -> InternalError:
    """Where it happened is logged, its message is not: that may hold what the caller sent."""
    log.error("request %s failed: %s", _id(request), logs.trace(error))
    return InternalError("internal server error; include the request ID when you contact support")


def _id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))
