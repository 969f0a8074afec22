"""The console as an ASGI app: finds the page of a path and the session of its visitor, and refuses what must not be."""

import logging
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from producer.console import assets, choosing, forgery, forms, pages, rendering, signing
from producer.console.api import ApiError
from producer.console.navigation import NavigationPage
from producer.console.router import PageRoute
from producer.console.visit import Visit, looks_at
from shared import logs
from shared.console_sessions import Session
from shared.errors import FusionError
from shared.settings import settings

log = logging.getLogger(__name__)

#: What any answer of the console says: its own files and nothing else, in nobody's frame, kept by nobody. The referrer
#: goes to the console alone: without one, browsers send a form with `Origin: null`.
_HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Site:
    """Everything at /console."""

    def __init__(self) -> None:
        routes = [
            Route("/console/assets/{digest}/{name}", _asset, methods=["GET"]),
            Route("/console/sign-in", signing.show, methods=["GET"]),
            Route("/console/sign-in", _guarded(signing.sign_in), methods=["POST"]),
            Route("/console/sign-out", _guarded(signing.sign_out), methods=["POST"]),
        ]
        for page, router in ((choosing.PAGE, choosing.router), *pages.BUILT):
            routes += [Route(one.path, _endpoint(page, one), methods=[one.method]) for one in router.routes]
        routes += [Route(path, _to_page_of(shown), methods=["GET"]) for path, shown in _without_page(routes)]
        self._router = Router(routes, redirect_slashes=False, default=_lost)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                own = ((name.lower().encode(), value.encode()) for name, value in _HEADERS.items())
                message["headers"] = [*message["headers"], *(pair for pair in own if pair[0] not in given)]
            await send(message)

        request = Request(scope, receive)
        try:
            await self._router(scope, receive, dressed)
        except HTTPException as error:
            await _plain(error.status_code, error.detail)(scope, receive, dressed)
        except FusionError as error:
            await _plain(error.status, error.message)(scope, receive, dressed)
        except Exception as error:
            log.error("request %s failed: %s", request.scope.get("request_id", ""), logs.trace(error))
            await _plain(500, "The console could not answer this. It has been logged.")(scope, receive, dressed)


def _endpoint(page: NavigationPage, route: PageRoute) -> Any:
    async def answer(request: Request) -> Response:
        return await _answer(page, route, request)

    return answer


def _without_page(routes: list[Route]) -> list[tuple[str, int]]:
    """The paths that forms are sent to and nothing is shown at; with how many of their parts lead to the page."""
    shown = {route.path for route in routes if "GET" in (route.methods or ())}
    return [(route.path, _parts_shown(route.path, shown)) for route in routes if route.path not in shown]


def _parts_shown(path: str, shown: set[str]) -> int:
    while path not in shown and path != "/console":
        path = path.rpartition("/")[0]
    return path.count("/")


def _to_page_of(parts: int) -> Any:
    """Leads to the page of a form: a refused one is shown at the form's own address, which may be loaded again."""

    async def to_page(request: Request) -> Response:
        return RedirectResponse("/".join(request.scope["path"].split("/")[: parts + 1]), 303)

    return to_page


async def _answer(page: NavigationPage, route: PageRoute, request: Request) -> Response:
    """Answer for a page, if its visitor is signed in; what is refused is said in a page with the menu."""
    token = request.cookies.get(signing.COOKIE, "")
    session = await signing.session_of(request, token)
    if session is None:
        return signing.to_sign_in(request)
    visit = Visit(request, session, token, FormData())
    try:
        return await _seen(page, route, visit, token)
    except ApiError as error:
        return visit.show_error(error)
    except FusionError as error:
        return visit.show_error(ApiError(error.status, error.as_json()))
    except HTTPException as error:
        refused = ApiError(error.status_code, {"message": error.detail})
        return visit.show_error(refused, _TITLES.get(error.status_code, "Error"))
    finally:
        await visit.form.close()


async def _seen(page: NavigationPage, route: PageRoute, visit: Visit, token: str) -> Response:
    """Answer for a page, if its visitor may see it, and for its form, if it is one of ours."""
    request, session = visit.request, visit.session
    if page.audience == "operators" and session.operator is None:
        raise HTTPException(404, "There is no such page.")
    if page.audience == "customers" and session.holder is None:
        return RedirectResponse(choosing.PATH, 303)
    if "\x00" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise HTTPException(404, "There is no such page: its address contains a NUL character.")
    if route.method == "POST":
        _check_origin(request)
        visit.form = await (forms.read_with_file if route.takes_file else forms.read)(request)
        _check_form(page, session, token, visit.form)
        if settings().console_read_only and page is not choosing.PAGE:
            raise HTTPException(403, "The console is read-only here. Nothing was changed.")
    return await route.handler(visit, **request.path_params)


def _check_form(page: NavigationPage, session: Session, token: str, form: FormData) -> None:
    """Whether a form is of this sign-in, and of the account that is looked at: an operator has perhaps chosen another
    one since, in another tab, which is not the one that the form is to change.
    """
    own, about = forgery.parted(str(form.get("csrf", "")))
    if not forgery.holds(own, token):
        raise HTTPException(403, "This form is from another sign-in, or not from the console. Nothing was changed.")
    if page.audience == "customers" and page is not choosing.PAGE and about != looks_at(session):
        said = f"This form is of {about or 'no account'}, and you look at {looks_at(session)} by now."
        raise HTTPException(409, f"{said} Nothing was changed: open its page again.")


def _guarded(endpoint: Any) -> Any:
    async def guarded(request: Request) -> Response:
        _check_origin(request)
        response: Response = await endpoint(request)
        return response

    return guarded


def _check_origin(request: Request) -> None:
    hosts = {
        request.headers.get("host", "").lower(),
        settings().public_url.partition("://")[2].partition("/")[0].lower(),
    }
    if not forgery.is_from_here(request.headers, hosts):
        raise HTTPException(403, "This request did not come from the console. Nothing was changed.")


async def _asset(request: Request) -> Response:
    found = assets.load(request.path_params["digest"], request.path_params["name"])
    if found is None:
        raise HTTPException(404, "There is no such file.")
    return Response(found[0], headers={"Cache-Control": "public, max-age=31536000, immutable"}, media_type=found[1])


async def _lost(scope: Scope, receive: Receive, send: Send) -> None:
    """A path of no page: without the slash at its end it may be one."""
    request, path = Request(scope, receive), scope["path"].rstrip("/")
    if request.method == "GET" and path != scope["path"]:
        query = f"?{request.url.query}" if request.url.query else ""
        return await RedirectResponse(path + query, 303)(scope, receive, send)
    token = request.cookies.get(signing.COOKIE, "")
    session = await signing.session_of(request, token)
    if session is None:
        raise HTTPException(404, "There is no such page.")
    visit = Visit(request, session, token, FormData())
    await visit.show_error(ApiError(404, {"message": "There is no such page."}))(scope, receive, send)


_TITLES = {
    403: "Not allowed",
    404: "Not found",
    405: "Not allowed",
    409: "Another account",
    413: "Too large",
    429: "Too many requests",
}


def _plain(status: int, said: str) -> Response:
    values = {"status": status, "title": _TITLES.get(status, "Error"), "said": said}
    return HTMLResponse(rendering.render("plain.html", values), status)
