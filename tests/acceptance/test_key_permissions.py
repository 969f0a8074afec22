"""Restricted keys, over HTTP: each operation of each dialect needs its permission, and the refusal names it."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from producer.dialects import fusionai
from shared import accounts, key_limits
from shared.key_limits import Change
from shared.permissions import PERMISSIONS
from tests.acceptance.route_table import BODIES, KEYED, filled
from tests.acceptance.stack import Account, Stack, chat
from tests.acceptance.test_every_dialect import CALLS, Call, send
from tests.acceptance.test_every_route import IDS

Restricted = Callable[..., httpx.Client]
#: Of each operation that needs one: its method and path, as `KEYED` has them, and the permission.
NEEDED = {
    (method, route.path): route.needs
    for route in fusionai.router.routes
    for method in route.methods or ()
    if route.needs is not None
}


@pytest.fixture
def restricted(account: Account) -> Iterator[Restricted]:
    """Clients of one account, each with a new key that has some permissions alone."""
    made: list[httpx.Client] = []

    def make(*permissions: str, mode: Any = "live") -> httpx.Client:
        id, key = account.stack.write(accounts.create_key, account.id, mode)
        account.stack.write(key_limits.change, id, Change({"permissions": list(permissions)}))
        headers = {"Authorization": f"Bearer {key}"}
        made.append(httpx.Client(base_url=account.stack.url + "/v1", headers=headers, timeout=40))
        return made[-1]

    yield make
    for client in made:
        client.close()


def lacking(answer: httpx.Response) -> str | None:
    """The permission that a refusal names; None: it is none for lack of one."""
    error = answer.json().get("error") if "json" in answer.headers.get("content-type", "") else None
    if answer.status_code != 403 or not error or error.get("reason") != "insufficient_permissions":
        return None
    assert error["type"] == "forbidden" and error["permission"] in error["message"]
    return str(error["permission"])


def test_every_route_refuses_a_key_that_has_all_other_permissions(restricted: Restricted) -> None:
    clients: dict[str, httpx.Client] = {}
    for method, path in KEYED:
        needs = NEEDED.get((method, path))
        if needs is None:
            continue
        others = [one for one in PERMISSIONS if one != needs and one != needs.replace(":read", ":write")]
        client = clients.setdefault(needs, restricted(*others))
        answer = client.request(method, filled(path, IDS), **BODIES.get((method, path), {}))
        assert lacking(answer) == needs, (method, path, answer.text)
    assert set(clients) == set(PERMISSIONS)


def test_every_route_serves_a_key_that_has_its_permission_alone(restricted: Restricted) -> None:
    clients = {one: restricted(one) for one in PERMISSIONS}
    for (method, path), needs in NEEDED.items():
        answer = clients[needs].request(method, filled(path, IDS), **BODIES.get((method, path), {}))
        assert lacking(answer) is None, (method, path, answer.text)
    assert clients["billing:read"].get("/models").status_code == 200, "which are no secret"


@pytest.mark.parametrize("call", CALLS, ids=[call.path for call in CALLS])
def test_no_dialect_runs_a_job_for_a_key_that_may_not(account: Account, stack: Stack, call: Call) -> None:
    id, key = stack.write(accounts.create_key, account.id, "live")
    stack.write(key_limits.change, id, Change({"permissions": ["jobs:read", "billing:write"]}))
    answer = send(stack, call, key, body=call.good)
    assert answer.status_code == 403 and "jobs:write" in answer.text
    assert not account.live.get("/jobs").json()["data"]


def test_a_test_key_may_be_restricted_and_an_old_key_is_not(account: Account, restricted: Restricted) -> None:
    assert lacking(restricted("jobs:read", mode="test").post("/jobs", json=chat())) == "jobs:write"
    assert account.live.post("/invoices", json={"credits": 1}).status_code == 200
