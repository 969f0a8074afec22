"""One request of somebody who is signed in, as a page sees it: who, the API as them, the form, and ways to answer."""

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from producer.admission import audited
from producer.console import auditing, forgery, rendering
from producer.console.api import Api, ApiAnswer, ApiError, Call
from producer.console.navigation import PAGES, NavigationPage
from producer.console.relaying import Relayed
from producer.context import Context
from shared.console_sessions import Session
from shared.key_holders import KeyHolder
from shared.settings import settings

#: The cookie that carries a sentence to the page after a POST.
NOTICE = "fusionai_notice"
_NOTICE_SECONDS, _NOTICE_CHARACTERS = 60, 500


class Visit:
    """What a page's function is given. `form` is empty but in a POST, whose token has been checked."""

    def __init__(
        self,
        request: Request,
        session: Session,
        token: str,
        form: FormData,
    ) -> None:
        self.request = request
        self.session = session
        self.form = form
        self.api = Api(request, session.holder, session.operator)
        self._token = token

    @property
    def holder(self) -> KeyHolder:
        """As whom the API is called. Not there for an operator without an account, who sees operators' pages alone."""
        assert self.session.holder is not None, "an operator has not chosen an account"
        return self.session.holder

    @property
    def account_id(self) -> str | None:
        """The account that is looked at; None: an operator has chosen none."""
        return None if self.session.holder is None else self.session.holder.account_id

    @property
    def looks_at(self) -> str:
        """The account and mode that the pages are about; empty if an operator has chosen none."""
        return looks_at(self.session)

    @property
    def context(self) -> Context:
        """The process's own, for what has no API: what operators do by command."""
        context: Context = self.request.app.state.context
        return context

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the page's own URL."""
        return self.request.query_params

    @property
    def base_url(self) -> str:
        """Where others find the API, without /v1."""
        return settings().public_url.rstrip("/").removesuffix("/v1")

    def url(self, **changes: str | None) -> str:
        """The page's own URL, with some parameters of it changed; None takes one out."""
        given = {**self.query, **changes}
        kept = {name: value for name, value in given.items() if value}
        return self.request.url.path + (f"?{urlencode(kept)}" if kept else "")

    @property
    def navigation(self) -> list[tuple[str, list[NavigationPage]]]:
        """The pages that are there for this visitor, by section."""
        seen = {"customers"} if self.account_id else set()
        seen |= {"operators"} if self.is_operator else set()
        shown = [page for page in PAGES if page.audience in seen]
        return [(section, list(some)) for section, some in groupby(shown, key=lambda page: page.section)]

    @property
    def is_operator(self) -> bool:
        return self.session.operator is not None

    @property
    def refreshes(self) -> bool:
        """Whether the page is fetched anew for one element of it, which stands in its content."""
        return self.request.method == "GET" and self.request.headers.get("hx-request") == "true"

    def field(self, name: str) -> str:
        """A text of the form, without spaces around it; empty if there is none."""
        value = self.form.get(name, "")
        return value.strip() if isinstance(value, str) else ""

    @property
    def once(self) -> dict[str, str]:
        """The header by which a form that is sent twice, as by a double click, does its thing once."""
        return {"Idempotency-Key": f"console-{self.field('once')}"} if self.field("once") else {}

    async def change(
        self,
        call: Call,
        content: bytes | AsyncIterator[bytes] = b"",
        *,
        changed: Callable[[Any], bool] | None = None,
    ) -> ApiAnswer:
        """Send a call that changes something; the transaction of the change writes down who did.

        `changed`: whether an object that the operation answers means that something has changed.
        """
        with audited.written_down(auditing.entry(self.session, call, changed)):
            return await self.api.send(call, content)

    def relay(self, call: Call) -> Response:
        """The API's own answer to a call, piece by piece: for files."""
        return Relayed(self.api, call)

    def show(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page."""
        given = {
            "visit": self,
            "csrf": f"{forgery.token(self._token)}.{self.looks_at}",
            "notice": _unpacked(self.request.cookies.get(NOTICE)),
            "error": None,
            "base_url": self.base_url,
            "may_change": not settings().console_read_only,
            "path": self.request.url.path,
            **values,
        }
        response = HTMLResponse(rendering.render(template, given), status)
        if given["notice"] and not self.refreshes:
            response.delete_cookie(NOTICE, path="/console")
        return response

    def show_error(self, error: ApiError, title: str = "") -> Response:
        """A page of nothing but what the API said."""
        title = title or _TITLES.get(error.status, "Error")
        return self.show("error.html", status=error.status, error=error, here="", title=title)

    def see(self, path: str, notice: str = "", **query: str) -> Response:
        """Go on to another page after a POST, which shows the notice once."""
        response = RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), 303)
        if notice:
            packed = base64.urlsafe_b64encode(notice[:_NOTICE_CHARACTERS].encode()).decode()
            response.set_cookie(
                NOTICE, packed, max_age=_NOTICE_SECONDS, path="/console", httponly=True, samesite="strict"
            )
        return response


def looks_at(session: Session) -> str:
    """The account and mode that a session's pages are about; empty if an operator has chosen none."""
    return "" if session.holder is None else f"{session.holder.account_id}:{session.holder.mode}"


_TITLES = {
    403: "Not allowed",
    404: "Not found",
    409: "Not changed",
    413: "Too large",
    429: "Too many requests",
    503: "Not available",
}


def _unpacked(cookie: str | None) -> str:
    try:
        return base64.urlsafe_b64decode(cookie or "").decode()[:_NOTICE_CHARACTERS]
    except (binascii.Error, ValueError):
        return ""
