"""Every operation says which permission it needs of its key, and none is forgotten."""

from typing import Any

import pytest

from producer.app import make_app
from producer.web.permissions import RESOURCES, needed
from producer.web.router import DocumentedRoute
from producer.web.rows import Row, one
from shared import key_limits
from shared.errors import InvalidRequest
from shared.key_limits import Change
from shared.permissions import PERMISSIONS, allows

#: Paths that are opened by nobody's key, beside those whose rows say so.
OPEN = ("/docs", "/openapi.json")
#: Whoever has a key may ask: it is the same for all.
FREE = ("models",)


def routes() -> list[DocumentedRoute]:
    return [route for route in make_app().routes if isinstance(route, DocumentedRoute)]


def test_every_route_needs_a_permission_or_no_key() -> None:
    """Or the operator's password. One that is shown under another prefix needs the same."""
    documented = [route for route in routes() if route.doc is not None]
    other_keys = {route.name for route in documented if route.doc and (route.doc.keyless or route.doc.operator)}
    for route in routes():
        open = route.name in other_keys or route.path.startswith(OPEN)
        free = any(step in FREE for step in route.path.split("/"))
        assert (route.needs is None) == (open or free), (route.methods, route.path, route.needs)


def test_what_changes_something_needs_a_permission_to_write() -> None:
    for route in routes():
        if route.needs is not None:
            access = "read" if route.methods == {"GET"} else "write"
            assert route.needs.endswith(access), (route.methods, route.path)


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("POST", "/v1/invoices", "billing:write"),
        ("POST", "/v1/invoices/{invoice_id}/void", "billing:write"),
        ("PUT", "/v1/credits/auto_top_up", "billing:write"),
        ("PUT", "/v1/credits/thresholds", "billing:write"),
        ("GET", "/v1/usage", "billing:read"),
        ("POST", "/v1/webhooks/{id}/rotate", "webhooks:write"),
        ("POST", "/v1/webhook_secret/rotate", "webhooks:write"),
        ("GET", "/v1/events", "webhooks:read"),
        ("POST", "/v1/jobs", "jobs:write"),
        ("POST", "/api/v2/chat/completions", "jobs:write"),
        ("GET", "/v1/files/{id}/content", "jobs:read"),
    ],
)
def test_money_and_secrets_need_their_own(method: str, path: str, permission: str) -> None:
    (found,) = {route.needs for route in routes() if route.path == path and route.methods == {method}}
    assert found == permission


def test_a_tag_that_the_table_lacks_is_an_error_where_the_route_is_declared() -> None:
    with pytest.raises(KeyError):
        needed("GET", Row("Treasure", one("It.", dict)))
    assert needed("GET", Row("Treasure", one("It.", dict), needs="billing:write")) == "billing:write"
    assert set(RESOURCES.values()) - {None} == {name.partition(":")[0] for name in PERMISSIONS}


def test_to_write_is_to_read_and_not_the_other_way_round() -> None:
    for name in PERMISSIONS:
        assert allows(None, name) and allows({name}, name) and not allows(set(), name)
    assert allows({"billing:write"}, "billing:read") and not allows({"billing:read"}, "billing:write")
    assert not allows({"jobs:write", "webhooks:write"}, "billing:read")


@pytest.mark.parametrize("names", [[], ["money"], ["jobs:write", "Jobs:read"], ["billing"]])
def test_permissions_that_there_are_not_are_refused(names: Any) -> None:
    with pytest.raises(InvalidRequest, match="permissions"):
        Change({"permissions": names}).checked(None)  # type: ignore[arg-type]


def test_a_row_without_permissions_may_do_everything() -> None:
    assert key_limits.NO_LIMITS.permissions is None
