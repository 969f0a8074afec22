"""Accounts, for operators: who may use this deployment, their plans and credit, and what operators did."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection
from starlette.responses import Response

from producer.console import commands
from producer.console.amounts import micros_of
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared import accounts, audit
from shared.audit import MOST_REASON, Action
from shared.clock import MICROS
from shared.errors import FusionError, InvalidRequest, NotFound
from shared.money import corrections
from shared.money.plans import PLANS, requests_per_minute

router = PageRouter()

#: Accounts, and entries of the audit log, of one page.
SHOWN: Final = 25
#: Characters of an account's name.
MOST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class _Account:
    """An account, and what operators did to it."""

    row: Mapping[str, Any]
    entries: list[dict[str, Any]]


@router.get("/console/accounts")
async def show_list(visit: Visit) -> Response:
    """The accounts, the newest first, and what operators did of late."""
    return await _list(visit)


@router.post("/console/accounts")
async def create(visit: Visit) -> Response:
    """Make an account, without credit and keys."""
    name, plan = visit.field("name"), visit.field("plan")
    action = Action(visit.session.who, "console.accounts.create")

    def make(connection: Connection) -> str:
        id = accounts.create_account(connection, name, plan)
        audit.record(connection, action, id, ("account", id), after={"name": name, "plan": plan})
        return id

    try:
        _check_name(name)
        id = await visit.context.database.write(make)
    except FusionError as error:
        return await _list(visit, error)
    return visit.see(f"/console/accounts/{id}", f"Account {name} is made. Next: grant it credit, then make it a key.")


@router.get("/console/accounts/{account_id}")
async def show(visit: Visit, account_id: str) -> Response:
    """One account: its balance and plan, a grant, and its part of the audit log."""
    return await _page(visit, account_id)


@router.post("/console/accounts/{account_id}/grant")
async def grant(visit: Visit, account_id: str) -> Response:
    """Give it credit, once for each form that was shown."""
    try:
        micros, reason = micros_of("credits", visit.field("credits")), _reason(visit)
        reference = f"console {visit.field('reference')[:100]}" if visit.field("reference") else None
        action = Action(visit.session.who, "credits.grant", reason, reference)
        done = await visit.context.database.write(_grant, action, account_id, micros)
    except FusionError as error:
        return await _page(visit, account_id, error)
    again = " already: nothing was given a second time" if done.again else ""
    return visit.see(f"/console/accounts/{account_id}", f"{done.after['credits']:,} credits are granted{again}.")


@router.post("/console/accounts/{account_id}/plan")
async def change_plan(visit: Visit, account_id: str) -> Response:
    """Move it to another plan; the API knows within a second."""
    plan, action = visit.field("plan"), Action(visit.session.who, "console.accounts.plan")

    def change(connection: Connection) -> None:
        before = accounts.read_account(connection, account_id)["plan"]
        if before != plan:
            accounts.set_plan(connection, account_id, plan)
            audit.record(
                connection, action, account_id, ("account", account_id), before={"plan": before}, after={"plan": plan}
            )

    try:
        await visit.context.database.write(change)
    except FusionError as error:
        return await _page(visit, account_id, error)
    return visit.see(f"/console/accounts/{account_id}", f"The plan is {plan} now.")


def _grant(connection: Connection, action: Action, account_id: str, micros: int) -> corrections.Done:
    accounts.read_account(connection, account_id)
    return corrections.grant(connection, action, account_id, micros)


def _check_name(name: str) -> None:
    if not 0 < len(name) <= MOST_NAME:
        raise InvalidRequest(f"a name has 1 to {MOST_NAME} characters", param="name")


def _reason(visit: Visit) -> str:
    reason = visit.field("reason")
    if not 0 < len(reason) <= MOST_REASON:
        raise InvalidRequest(f"a reason has 1 to {MOST_REASON} characters", param="reason")
    return reason


async def _list(visit: Visit, error: FusionError | None = None) -> Response:
    after, older = visit.query.get("after") or None, visit.query.get("older") or None
    read = visit.context.database.read
    rows = await read(accounts.newest_accounts, after=after, limit=SHOWN + 1)
    action = visit.query.get("action", "").strip()
    entries = await read(audit.entries, limit=SHOWN + 1, after=older, action=action)
    shown = rows[:SHOWN]
    return visit.show(
        "accounts.html",
        action=action,
        status=error.status if error else 200,
        here="accounts",
        accounts=[_shown(row) for row in shown],
        entries=entries[:SHOWN],
        next=visit.url(after=shown[-1]["id"]) if len(rows) > SHOWN else "",
        first=visit.url(after=None) if after else "",
        next_entries=visit.url(older=entries[SHOWN - 1]["id"]) if len(entries) > SHOWN else "",
        first_entries=visit.url(older=None) if older else "",
        plans=[(plan, plan) for plan in PLANS],
        form=visit.form,
        commands=commands.of_accounts(_texts(visit), action),
        error=error,
    )


async def _page(visit: Visit, account_id: str, error: FusionError | None = None) -> Response:
    older = visit.query.get("older") or None

    def read(connection: Connection) -> _Account:
        row = accounts.read_account(connection, account_id)
        return _Account(row, audit.entries(connection, account_id, limit=SHOWN + 1, after=older))

    try:
        found = await visit.context.database.read(read)
    except NotFound as missing:
        return visit.show("error.html", status=404, error=missing, here="accounts", title="Not found")
    entries, account = found.entries, _shown(found.row)
    return visit.show(
        "account.html",
        status=error.status if error else 200,
        here="accounts",
        account=account,
        entries=entries[:SHOWN],
        next_entries=visit.url(older=entries[SHOWN - 1]["id"]) if len(entries) > SHOWN else "",
        first_entries=visit.url(older=None) if older else "",
        plans=[(plan, plan) for plan in PLANS],
        reference=secrets.token_hex(12),
        form=visit.form,
        commands=commands.of_account(account, _texts(visit)),
        error=error,
    )


def _texts(visit: Visit) -> dict[str, str]:
    """What the form says as it was written."""
    return {name: value for name, value in visit.form.items() if isinstance(value, str)}


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """An account with amounts in credits."""
    return {
        **row,
        "available": row["available_micros"] / MICROS,
        "held": row["held_micros"] / MICROS,
        "created": row["created_at"] // MICROS,
        "per_minute": requests_per_minute(row["plan"], row["requests_per_minute"]),
    }
