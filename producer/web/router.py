"""Routes as the dialects declare them: a method, a path, and a function of the request and the ids in the path."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Endpoint: TypeAlias = Callable[..., Awaitable[Response]]


class Router:
    """Gathers routes in the order they are declared, which is the order they are looked through."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def get(self, path: str, *, shown: bool = True) -> Callable[[Endpoint], Endpoint]:
        """Declare what answers a GET. `shown`: in the document."""
        return self._declare("GET", path, shown)

    def post(self, path: str) -> Callable[[Endpoint], Endpoint]:
        """Declare what answers a POST."""
        return self._declare("POST", path)

    def put(self, path: str) -> Callable[[Endpoint], Endpoint]:
        """Declare what answers a PUT."""
        return self._declare("PUT", path)

    def patch(self, path: str) -> Callable[[Endpoint], Endpoint]:
        """Declare what answers a PATCH."""
        return self._declare("PATCH", path)

    def delete(self, path: str) -> Callable[[Endpoint], Endpoint]:
        """Declare what answers a DELETE."""
        return self._declare("DELETE", path)

    def include(self, other: "Router", prefix: str = "") -> None:
        """Take over another's routes, under a prefix."""
        for one in other.routes:
            self.routes.append(_route(one.name, one.methods, prefix + one.path, one.endpoint, one.include_in_schema))

    def _declare(self, method: str, path: str, shown: bool = True) -> Callable[[Endpoint], Endpoint]:
        def declare(endpoint: Endpoint) -> Endpoint:
            self.routes.append(_route(endpoint.__name__, {method}, path, _of_request(endpoint), shown))
            return endpoint

        return declare


def _route(name: str, methods: set[str] | None, path: str, endpoint: Any, shown: bool) -> Route:
    made = Route(path, endpoint, name=name, include_in_schema=shown)
    made.methods = methods  # not HEAD as well: it would do all the work of a GET for nothing
    return made


def _of_request(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The same, given the ids from the request's path by their names."""

    @wraps(endpoint)
    async def called(request: Request) -> Response:
        return await endpoint(request, **request.path_params)

    return called
