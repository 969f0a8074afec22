"""Watches the pages of a context: errors, requests to other hosts, violations of the policy, answers of 500."""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Request, Response, WebSocket

from tests.conditions import await_condition

#: Runs before every page's own code: passes on what would be hidden otherwise, and has what an attack would call.
INSTRUMENT = """
window.marks = [];
window.pwned = mark => { window.marks.push(mark); window.watched?.(`an attack ran: ${mark}`); };
document.addEventListener("securitypolicyviolation", event =>
    window.watched?.(`policy: ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
"""


class Watch:
    """What went wrong on the pages of a context. `hosts`: the hosts that they may call, with ports."""

    def __init__(self, context: BrowserContext, hosts: Collection[str]) -> None:
        self.faults: list[str] = []
        #: All that pages asked, all that they wrote to the console, and all requests, in order.
        self.questions: list[str] = []
        self.said: list[str] = []
        self.requests: list[Request] = []
        self._hosts = frozenset(hosts)
        self._expected: list[re.Pattern[str]] = []
        context.expose_function("watched", lambda fault: self.faults.append(fault))
        context.add_init_script(INSTRUMENT)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.faults.append(f"page error: {error.error}"))
        context.on("dialog", self._dialog)
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("page", self._page)

    def expect(self, pattern: str) -> None:
        """Faults that match are what the test is about."""
        self._expected.append(re.compile(pattern))

    def unexpected(self) -> list[str]:
        """The others."""
        return [fault for fault in self.faults if not any(one.search(fault) for one in self._expected)]

    def await_fault(self, page: Page, text: str) -> None:
        """Until a fault says so."""
        await_condition(
            lambda: page.evaluate("1") and any(text in fault for fault in self.faults), what=f"a fault: {text}"
        )

    def _page(self, page: Page) -> None:
        page.on("websocket", self._socket)

    def _console(self, message: ConsoleMessage) -> None:
        self.said.append(message.text)
        if message.type in ("error", "warning"):
            place = message.location.get("url", "")
            self.faults.append(f"console {message.type}: {message.text} ({place})")

    def _dialog(self, dialog: Dialog) -> None:
        """Our pages ask before what cannot be undone, and nothing else."""
        if dialog.type == "confirm":
            self.questions.append(dialog.message)
            dialog.accept()
            return
        self.faults.append(f"dialog: {dialog.type} {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        self.requests.append(request)
        self._host(request.url)

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"answered {response.status}: {response.request.method} {response.url}")

    def _socket(self, socket: WebSocket) -> None:
        self._host(socket.url)

    def _host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc not in self._hosts:
            self.faults.append(f"request to another host: {url}")
