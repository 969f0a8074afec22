"""A visitor of the console: a watched context of the browser, its page, and a session of a key or the operator."""

from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import Connection

from shared import console_sessions
from shared.key_holders import find_key
from tests.console.hostile import FOUND
from tests.console.watching import Watch
from tests.console.world import World

#: The widths at which pages are looked at: a telephone, a tablet, a desk.
WIDTHS = {360: 740, 768: 1024, 1440: 900}


class Visitor:
    """`page` is the page; `watch` has what went wrong on it."""

    def __init__(self, world: World, browser: Browser, base_url: str, *, width: int = 1440, **options: Any) -> None:
        self.world, self.base_url = world, base_url
        size = {"width": width, "height": WIDTHS.get(width, 900)}
        self.context = browser.new_context(base_url=base_url, viewport=size, reduced_motion="reduce", **options)  # type: ignore[arg-type]
        self.watch = Watch(self.context, [urlsplit(base_url).netloc])
        self.page: Page = self.context.new_page()

    def close(self) -> None:
        """Close its pages."""
        self.context.close()

    def sign_in(self, key: str = "", *, operator: bool = False, looking_at: str = "") -> None:
        """Sign in as the form would, without it: many do at once, and of tries there is a limit.

        `looking_at`: the account that the operator has chosen.
        """

        def begin(connection: Connection) -> str:
            if operator:
                token = console_sessions.begin(connection, operator="operator")
                session = console_sessions.find(connection, token)
                assert session is not None
                console_sessions.look_at(connection, session.id, looking_at or None)
                return token
            holder = find_key(connection, key)
            assert holder is not None
            return console_sessions.begin(connection, key_id=holder.key_id)

        token = self.world.write(begin)
        self.world.keep_secret(token)
        cookie = {
            "name": "fusionai_session",
            "value": token,
            "httpOnly": True,
            "sameSite": "Strict",
            "path": "/console",
        }
        self.context.add_cookies([{**cookie, "domain": urlsplit(self.base_url).hostname}])  # type: ignore[typeddict-item]

    def open(self, path: str) -> Page:
        """Go to a page of the console."""
        self.page.goto(path, wait_until="load")
        return self.page

    def heading(self, name: str) -> Locator:
        """The page's heading, when it is there."""
        found = self.page.get_by_role("heading", name=name, level=1)
        expect(found).to_be_visible()
        return found

    def open_details(self) -> None:
        """Unfold whatever is folded."""
        self.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")

    def attacks(self) -> list[str]:
        """What of the hostile texts is markup in the page, or has run."""
        return list(self.page.evaluate(FOUND))

    def overflow(self) -> list[str]:
        """What sticks out of the page to the right, when the page scrolls sideways."""
        return list(self.page.evaluate(OVERFLOW))


#: In the page: nothing while it does not scroll sideways, else the elements that are to blame.
OVERFLOW = """() => {
    const root = document.documentElement;
    if (root.scrollWidth <= root.clientWidth) return [];
    return [...document.body.querySelectorAll('*')]
        .filter(element => element.getBoundingClientRect().right > root.clientWidth + 1)
        .slice(0, 5).map(element => element.outerHTML.slice(0, 160));
}"""
