"""The page of keys on both databases: what an operator makes and revokes, and that nobody else does."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from producer.console.pages import keys
from producer.console.visit import Visit
from shared import accounts, key_holders, key_limits
from shared.console_sessions import Session
from shared.db import Database
from shared.db import models as m
from shared.errors import NotFound
from shared.key_holders import KeyHolder
from tests.integration import world


def visit(database: Database, holder: KeyHolder, operator: str | None, **form: Any) -> Visit:
    """A visit of the page, as an operator or with a key, with what the form has."""
    app = SimpleNamespace(state=SimpleNamespace(context=SimpleNamespace(database=database)))
    scope = {"type": "http", "method": "GET", "path": "/console/keys", "query_string": b"", "headers": [], "app": app}
    pairs = [(name, one) for name, value in form.items() for one in (value if isinstance(value, list) else [value])]
    session = Session("cses_1", operator, holder, "Shop", "fusionai_live_ABCD")
    return Visit(Request(scope), session, "token", FormData(pairs))


def answered(response: Response) -> str:
    return bytes(response.body).decode()


def test_an_operator_makes_a_key_that_is_shown_once(database: Database) -> None:
    holder = world.open_account(database, 10)
    form = {"name": "Nightly", "mode": "live", "days": "30", "models": "gpt-4, claude-*", "budget_month": "12.5"}
    form |= {"requests_per_minute": "60", "permission": ["jobs:write", "billing:read"]}  # type: ignore[dict-item]
    made = answered(asyncio.run(keys.create(visit(database, holder, "ann", **form))))
    key = made.partition('<pre tabindex="0">')[2].partition("</pre>")[0]
    found = database.read_sync(key_holders.find_key, key)
    assert found is not None and found.account_id == holder.account_id and found.expires_at is not None
    limits = found.limits
    assert limits.permissions == {"jobs:write", "billing:read"} and limits.rules.models == ("gpt-4", "claude-*")
    assert (limits.requests_per_minute, [one.micros for one in limits.budgets]) == (60, [12_500_000])
    (entry,) = [row for row in world.rows(database, m.audit_log) if row["action"] == "console.keys.create"]
    assert entry["operator"] == "ann" and entry["subject_id"] == found.key_id and key not in str(entry)
    page = answered(asyncio.run(keys.show(visit(database, holder, "ann"))))
    assert key not in page and "Nightly" in page and "jobs:write" in page and "12.50 a month" in page


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"budget_day": "a lot"}, "must be a number of 0 or more"),
        ({"budget_day": "-1"}, "must be a number of 0 or more"),
        ({"mode": "test", "budget_day": "1"}, "never charged"),
        ({"models": "gpt-17"}, "unknown model"),
        ({"permission": ["money"]}, "not one of"),
        ({"requests_per_minute": "many"}, "no whole number"),
    ],
)
def test_what_cannot_be_is_said_beside_its_field_and_nothing_is_made(
    database: Database, form: dict[str, Any], said: str
) -> None:
    holder = world.open_account(database, 10)
    before = len(world.rows(database, m.api_keys))
    response = asyncio.run(keys.create(visit(database, holder, "ann", name="Kept", **form)))
    assert response.status_code == 400 and said in answered(response) and 'value="Kept"' in answered(response)
    assert len(world.rows(database, m.api_keys)) == before


def test_an_operator_revokes_a_key_of_the_account_alone(database: Database) -> None:
    holder, other = world.open_account(database, 1), world.open_account(database, 1)
    id, key = database.write_sync(accounts.create_key, holder.account_id, "live")
    with pytest.raises(NotFound):
        asyncio.run(keys.revoke(visit(database, other, "ann"), id))
    assert database.read_sync(key_holders.find_key, key) is not None
    assert asyncio.run(keys.revoke(visit(database, holder, "ann"), id)).status_code == 303
    assert database.read_sync(key_holders.find_key, key) is None
    (entry,) = [row for row in world.rows(database, m.audit_log) if row["action"] == "console.keys.revoke"]
    assert (entry["operator"], entry["subject_id"]) == ("ann", id)


def test_a_customer_sees_keys_and_changes_none(database: Database) -> None:
    holder = world.open_account(database, 1)
    id, _ = database.write_sync(accounts.create_key, holder.account_id, "live", name="<b>Shop</b>")
    database.write_sync(key_limits.change, id, key_limits.Change({"permissions": ["jobs:read"]}))
    page = answered(asyncio.run(keys.show(visit(database, holder, None))))
    assert "&lt;b&gt;Shop" in page and "jobs:read" in page and "Revoke" not in page and "New key" not in page
    for call in (keys.create(visit(database, holder, None)), keys.revoke(visit(database, holder, None), id)):
        with pytest.raises(NotFound):
            asyncio.run(call)


def test_many_keys_are_shown_page_by_page(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_LIMIT", 2)
    holder = world.open_account(database, 1)
    for number in range(3):
        database.write_sync(accounts.create_key, holder.account_id, "live", name=f"key number {number}")
    page = answered(asyncio.run(keys.show(visit(database, holder, None))))
    assert "key number 2" in page and "key number 1" in page and "key number 0" not in page and "Older" in page
