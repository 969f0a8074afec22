"""How a page's module declares what it answers: a path below /console, and and a function of the visit."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from starlette.responses import Response

#: Given the visit, and the ids of the path by their names.
Handler: TypeAlias = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class PageRoute:
    """What answers a method of a path."""

    method: str
    path: str
    handler: Handler
    #: Its form may hold a file.
    takes_file: bool = False


class PageRouter:
    """Gathers a module's routes; each module has one, called `router`."""

    def __init__(self) -> None:
        self.routes: list[PageRoute] = []

    def get(self, path: str) -> Callable[[Handler], Handler]:
        """Declare what shows a page; it changes nothing."""
        return self._declare("GET", path)

    def post(self, path: str, *, takes_file: bool = False) -> Callable[[Handler], Handler]:
        """Declare what a form does; it is called once the form's token has been checked."""
        return self._declare("POST", path, takes_file)

    def include(self, other: "PageRouter") -> None:
        """Take over the routes of a page below this one."""
        self.routes += other.routes

    def _declare(self, method: str, path: str, takes_file: bool = False) -> Callable[[Handler], Handler]:
        def declare(handler: Handler) -> Handler:
            self.routes.append(PageRoute(method, path, handler, takes_file))
            return handler

        return declare
