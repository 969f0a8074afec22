"""Routes as dialects declare them: a method, paths, a row, a function of the request and the ids in the path."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from producer.web.permissions import needed
from producer.web.rows import Row
from shared.permissions import Permission

Handler: TypeAlias = Callable[..., Awaitable[Response]]
Declare: TypeAlias = Callable[[Handler], Handler]


class DocumentedRoute(Route):
    """A route, and its row in the document; without one it is not shown there.

    `owner`: whose it is, where a dialect has mounted it.
    """

    def __init__(self, path: str, methods: set[str], endpoint: Any, name: str, doc: Row | None) -> None:
        super().__init__(path or "/", endpoint, name=name, include_in_schema=doc is not None)
        self.app = _answering(endpoint)  # Starlette's looks for handlers of errors once more, as its middleware does
        self.path = path  # empty: the prefix itself, below which it has yet to be mounted
        #: What every path of it begins with; without a parameter, all that it has.
        self._prefix, parameter, _ = (path or "/").partition("{")
        self._is_fixed = not parameter
        self.methods = methods  # not HEAD as well: it would do all the work of a GET for nothing
        self.doc = doc
        #: The permission that it needs of the key, shown in the document or not.
        self.needs: Permission | None = None
        self.owner: Any = None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether it answers a request: most do not, which is seen sooner than by a regular expression."""
        if scope["type"] == "http" and not scope.get("root_path"):
            path = scope["path"]
            possible = path == self._prefix if self._is_fixed else path.startswith(self._prefix)
            if not possible:
                return Match.NONE, {}
        return super().matches(scope)

    def under(self, prefix: str, *, shown: bool = True, owner: Any = None) -> "DocumentedRoute":
        """The same route below a prefix."""
        doc = self.doc if shown else None
        made = DocumentedRoute(prefix + self.path, self.methods or set(), self.endpoint, self.name, doc)
        made.owner, made.needs = owner or self.owner, self.needs
        return made


class Router:
    """Gathers routes in the order they are declared, which is the order they are looked through."""

    def __init__(self) -> None:
        self.routes: list[DocumentedRoute] = []

    def get(self, *paths: str, doc: Row | None) -> Declare:
        """Declare what answers a GET; `doc`: its row in the document, None for what is not shown there."""
        return self._declare("GET", paths, doc)

    def post(self, *paths: str, doc: Row | None) -> Declare:
        """Declare what answers a POST."""
        return self._declare("POST", paths, doc)

    def put(self, *paths: str, doc: Row | None) -> Declare:
        """Declare what answers a PUT."""
        return self._declare("PUT", paths, doc)

    def patch(self, *paths: str, doc: Row | None) -> Declare:
        """Declare what answers a PATCH."""
        return self._declare("PATCH", paths, doc)

    def delete(self, *paths: str, doc: Row | None) -> Declare:
        """Declare what answers a DELETE."""
        return self._declare("DELETE", paths, doc)

    def include(self, other: "Router", prefix: str = "", *, shown: bool = True, owner: Any = None) -> None:
        """Take over another's routes, under a prefix; `shown`: in the document."""
        self.routes += [one.under(prefix, shown=shown, owner=owner) for one in other.routes]

    def _declare(self, method: str, paths: tuple[str, ...], doc: Row | None) -> Declare:
        needs = needed(method, doc)

        def declare(endpoint: Handler) -> Handler:
            for path in paths:
                made = DocumentedRoute(path, {method}, _of_request(endpoint, needs), endpoint.__name__, doc)
                made.needs = needs
                self.routes.append(made)
            return endpoint

        return declare


def _of_request(endpoint: Handler, needs: Permission | None) -> Callable[[Request], Awaitable[Response]]:
    """The same, given the ids from the request's path by their names; its scope says what is needed of the key."""

    @wraps(endpoint)
    async def called(request: Request) -> Response:
        request.scope["fusionai_needs"] = needs
        return await endpoint(request, **request.path_params)

    return called


def _answering(endpoint: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
