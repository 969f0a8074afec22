"""Signing in and out. The key is in the body of one POST, and nowhere else; what the browser keeps is a session."""

import logging
from urllib.parse import urlencode, urlsplit

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from producer.admission.limits.rates import RateLimit
from producer.console import auditing, forgery, forms, rendering
from producer.context import Context
from producer.web.address import address
from shared import clock, console_sessions, operator_password
from shared.audit import MOST_NAME
from shared.console_sessions import NOTE_SECONDS, Session
from shared.errors import FusionError, RateLimited, Unauthorized
from shared.settings import settings

log = logging.getLogger(__name__)

COOKIE = "fusionai_session"
#: Sign-ins that are tried in a minute: from one address, and wrong ones in all. A right one is let in whatever others
#: try, so that nobody locks everybody out.
TRIES_OF_ADDRESS, TRIES = 120, 1200
_HOME = "/console"


async def session_of(request: Request, token: str) -> Session | None:
    """Whose session a token is, if it is one that has not ended; that it is used is noted once a minute."""
    if not token:
        return None
    context: Context = request.app.state.context
    session = await context.database.read(console_sessions.find, token)
    if session is not None and clock.now_micros() - session.used_at > NOTE_SECONDS * clock.MICROS:
        await context.database.write(console_sessions.note_use, session)
    return session


def to_sign_in(request: Request) -> Response:
    """Away to the page for signing in, and back to this one after it; htmx has the whole page go."""
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method != "GET":
        target = _page_before(request)
    place = "/console/sign-in" + ("" if target in ("", _HOME) else f"?{urlencode({'next': target})}")
    if request.headers.get("hx-request") == "true":
        return Response(status_code=204, headers={"HX-Redirect": place})
    return RedirectResponse(place, 303)


async def show(request: Request) -> Response:
    """The page for signing in."""
    token = request.cookies.get(COOKIE, "")
    if await session_of(request, token) is not None:
        return RedirectResponse(_safe(request.query_params.get("next", "")), 303)
    return _page(request.query_params.get("next", ""), was_in=bool(token or _page_before(request)))


def _page_before(request: Request) -> str:
    """The page of the console that the visitor comes from, with its query; empty: from elsewhere, or signing in."""
    try:
        before = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return ""
    is_page = before.path != "/console/sign-in" and (before.path + "/").startswith(_HOME + "/")
    if before.netloc != request.headers.get("host") or not is_page:
        return ""
    return before.path + (f"?{before.query}" if before.query else "")


async def sign_in(request: Request) -> Response:
    """Begin a session for a good key, or for the operator's password."""
    context: Context = request.app.state.context
    form = await forms.read_small(request)
    given = {name: str(form.get(name, "")).strip() for name in ("next", "key", "password", "name")}
    try:
        if given["password"]:
            token = await _operator(request, context, given["password"], given["name"])
        else:
            token = await _customer(request, context, given["key"])
    except FusionError as refused:
        error = await _counted(context, refused)
        return _page(given["next"], error, as_operator=bool(given["password"]), name=given["name"])
    if earlier := request.cookies.get(COOKIE, ""):
        await context.database.write(_end, earlier)
    response = RedirectResponse(_safe(given["next"]), 303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=settings().console_session_seconds,
        path="/console",
        httponly=True,
        samesite="strict",
        secure=_is_secure(request),
    )
    return response


async def _customer(request: Request, context: Context, key: str) -> str:
    """A session's token, for a key."""
    await _count(context, f"console.sign_in.{address(request)}", TRIES_OF_ADDRESS)
    holder = await context.keys.holder(key, address(request))
    return await context.database.write(_begin, holder.key_id, None)


async def _operator(request: Request, context: Context, password: str, name: str) -> str:
    """A session's token, for the operator's password."""
    await _count(context, f"console.sign_in.{address(request)}", TRIES_OF_ADDRESS)
    context.share.check_operator(address(request))
    if not operator_password.matches(password):
        log.warning("console: a wrong operator password from %s", address(request))
        context.share.guess_operator(address(request))
        raise Unauthorized("wrong operator password")
    name = (name or settings().operator or "operator")[:MOST_NAME]
    return await context.database.write(_begin, None, name, password)


def _begin(connection: Connection, key_id: str | None, operator: str | None, password: str | None = None) -> str:
    """A session's token; that it has begun is in the audit log."""
    token = console_sessions.begin(connection, key_id=key_id, operator=operator, password=password)
    session = console_sessions.find(connection, token)
    if session is None:
        raise Unauthorized("invalid API key: revoked or expired")
    _note(connection, session, "console.sign_in")
    return token


def _end(connection: Connection, token: str) -> None:
    """The end of a session that somebody ends; it, too, is in the audit log."""
    if (session := console_sessions.find(connection, token)) is not None:
        _note(connection, session, "console.sign_out")
    console_sessions.end(connection, token)


def _note(connection: Connection, session: Session, name: str) -> None:
    """What a key or an operator did themselves; at which account an operator looks is no part of it."""
    if session.operator is None and session.holder is not None:
        auditing.note(connection, session, name, session.holder.account_id, ("key", session.holder.key_id))
    else:
        auditing.note(connection, session, name, None, ("operator", session.operator or ""))


async def sign_out(request: Request) -> Response:
    """End the session. A form of another page cannot: the browser says where it came from."""
    token = request.cookies.get(COOKIE, "")
    form = await forms.read_small(request)
    response = RedirectResponse("/console/sign-in", 303)
    if token and forgery.holds(forgery.parted(str(form.get("csrf", "")))[0], token):
        context: Context = request.app.state.context
        await context.database.write(_end, token)
        response.delete_cookie(COOKIE, path="/console")
    return response


async def _counted(context: Context, refused: FusionError) -> FusionError:
    """What is said to a try that was refused: that there have been too many, if there have."""
    try:
        if isinstance(refused, Unauthorized):
            await _count(context, "console.sign_in", TRIES)
    except RateLimited as error:
        return error
    return refused


async def _count(context: Context, name: str, most: int) -> None:
    """Count a try; RateLimited: there have been too many."""
    allowance = await context.limits.admit(RateLimit(name, most, 60.0))
    if allowance.retry_seconds is not None:
        raise RateLimited("too many sign-ins; try again in a minute")


def _page(
    following: str,
    error: FusionError | None = None,
    *,
    as_operator: bool = False,
    name: str = "",
    was_in: bool = False,
) -> Response:
    values = {
        "was_in": was_in,
        "name": name,
        "next": _safe(following),
        "error": error,
        "as_operator": as_operator,
        "has_operator": operator_password.is_set(),
    }
    return HTMLResponse(rendering.render("sign_in.html", values), error.status if error else 200)


def _safe(following: str) -> str:
    """Where to go after signing in: a page of the console, whatever was asked for."""
    own = following == _HOME or following.startswith((_HOME + "/", _HOME + "?"))
    odd = any(part in following for part in ("\\", "//", ".."))
    plain = following.isascii() and following.isprintable() and not odd
    return following if own and plain else _HOME


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https" or settings().public_url.startswith("https://")
