"""Routes are told apart by their fixed parts first, and match the paths that Starlette would have them match."""

import itertools

import pytest
from starlette.routing import Match, Route

from producer.app import make_app
from producer.web.router import DocumentedRoute

ROUTES = [route for route in make_app().routes if isinstance(route, DocumentedRoute)]
ENDINGS = ("", "/", "x", "/x", "/x/y", "?", "%2F")


def paths() -> list[str]:
    """Those of all routes, with something in the place of each parameter, whole, cut, and with more behind."""
    plain = {part for route in ROUTES for part in (route.path.replace("{", "").replace("}", ""), route.path)}
    return sorted({path[:-1] for path in plain} | {path + ending for path, ending in itertools.product(plain, ENDINGS)})


@pytest.mark.parametrize("root_path", ["", "/below"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_every_path_is_matched_by_the_routes_that_starlette_finds(method: str, root_path: str) -> None:
    for path in paths():
        scope = {"type": "http", "method": method, "path": root_path + path, "root_path": root_path}
        found = [route.path for route in ROUTES if route.matches(scope)[0] is not Match.NONE]
        assert found == [route.path for route in ROUTES if Route.matches(route, scope)[0] is not Match.NONE], path


def test_a_path_that_ends_in_a_newline_is_another() -> None:
    """A regular expression's `$` comes before one as well."""
    scope = {"type": "http", "method": "POST", "path": "/v1/jobs\n", "root_path": ""}
    assert all(route.matches(scope)[0] is Match.NONE for route in ROUTES if route.path == "/v1/jobs")
