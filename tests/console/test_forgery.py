"""Requests that pages of others have a browser make: none of them changes anything."""

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.acceptance.stack import Account
from tests.console.visitor import Visitor
from tests.console.world import World

_FORM = """<form method=post action="{action}" enctype="{kind}"><input name=csrf value="{csrf}"><input name=x value=1>
</form><script>document.forms[0].submit()</script>"""


class Elsewhere:
    """A site of somebody else's, on a port of its own: one page. `localhost`, which is another site than 127.0.0.1."""

    def __init__(self) -> None:
        self.page = ""
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(site.page.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.netloc = f"localhost:{self._server.server_port}"
        #: Of the same site as the console (only the port differs), for which SameSite=Strict is no obstacle.
        self.near = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    site = Elsewhere()
    yield site
    site.stop()


def _csrf(visitor: Visitor) -> str:
    visitor.open("/console")
    return visitor.page.locator("[name=csrf]").first.input_value()


@pytest.mark.parametrize("near", [True, False], ids=["another port", "another site"])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"])
def test_a_form_of_another_site_signs_nobody_out(
    near: bool, kind: str, account: Account, elsewhere: Elsewhere, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(account.live_key)
    visitor.watch.expect("another host|status of 4..")
    elsewhere.page = _FORM.format(action=f"{visitor.base_url}/console/sign-out", kind=kind, csrf=_csrf(visitor))
    with visitor.page.expect_navigation(url="**/console/sign-out"):
        visitor.page.goto(f"http://{elsewhere.near if near else elsewhere.netloc}/")
    assert visitor.page.locator("h1").inner_text() == "Not allowed"
    visitor.open("/console")
    visitor.heading("Overview")


@pytest.mark.parametrize("path", ["/console/jobs/{job}/cancel", "/console/batches/{batch}/cancel"])
def test_a_form_without_the_sessions_token_changes_nothing(
    path: str, world: World, account: Account, visit: Callable[..., Visitor]
) -> None:
    other = visit(world.account().live_key)
    foreign = _csrf(other)
    visitor = visit(world.customers["shop"].live_key)
    visitor.watch.expect("status of 4..")
    own = _csrf(visitor)
    wrong = ("", "AAAA", foreign, "AAAA" + own[4:])
    refusals = {**dict.fromkeys(wrong, "Not allowed"), own[:-4] + "AAAA": "Another account"}
    for token, refusal in refusals.items():
        visitor.open("/console")
        visitor.page.evaluate(
            """([action, csrf]) => {
                const form = Object.assign(document.createElement("form"), {method: "post", action});
                form.append(Object.assign(document.createElement("input"), {name: "csrf", value: csrf}));
                document.body.append(form);
                form.submit();
            }""",
            [path.format(**world.customers["shop"].ids), token],
        )
        expect(visitor.page.get_by_role("heading", level=1)).to_have_text(refusal)
        expect(visitor.page.locator("body")).to_contain_text("Nothing was changed")


def test_the_console_is_in_nobodys_frame(elsewhere: Elsewhere, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.watch.expect("another host|frame-ancestors|X-Frame-Options|Frame")
    elsewhere.page = f"<iframe src='{visitor.base_url}/console/sign-in'></iframe>"
    visitor.page.goto(f"http://{elsewhere.netloc}/")
    visitor.watch.await_fault(visitor.page, "frame-ancestors")
    visitor.page.frames[1].wait_for_url("chrome-error://chromewebdata/")
