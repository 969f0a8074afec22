"""fusionai accounts: who may use this deployment; made by the operator, on the database."""

from collections.abc import Mapping
from typing import Any

import click

from producer.cli.audit import audit
from producer.cli.auditing import action, audited, operator_option
from producer.cli.groups import DefaultGroup
from producer.cli.ids import Id
from producer.cli.key_limits import fallbacks_text, named_fallbacks
from producer.cli.keys import key_table
from producer.cli.operator import operator_command
from producer.cli.output import Output, credits_text, moment
from producer.cli.tables import Column, short_id
from producer.operations.keys import listed
from shared import accounts as rows
from shared import clock, key_limits
from shared.db import Database
from shared.errors import NotFound
from shared.money import parties
from shared.money.plans import MOST_REQUESTS_PER_MINUTE, PLANS, requests_per_minute
from shared.objects.amounts import credits as in_credits
from shared.submissions.catalogue import catalogue

_COLUMNS = [
    Column("id", short=short_id),
    Column("name"),
    Column("plan", drop=1),
    Column("requests/min", right=True, drop=3),
    Column("available", right=True),
    Column("held", right=True, drop=2),
    Column("created", drop=4),
]
_REQUESTS = click.IntRange(1, MOST_REQUESTS_PER_MINUTE)
_SWITCH = click.Choice(["on", "off"])
_LINKED_HELP = "Whether its chats may be linked to entities (linked_context)."


@click.group(cls=DefaultGroup)
def accounts() -> None:
    """Create, list, show and change accounts; what operators did."""


@accounts.command("create")
@click.argument("name")
@click.option("--plan", type=click.Choice(PLANS), default="starter", show_default=True)
@click.option("--requests-per-minute", "own", type=_REQUESTS, metavar="N", help="Its own limit, instead of the plan's.")
@click.option("--linked-context", type=_SWITCH, default="off", show_default=True, help=_LINKED_HELP)
@operator_option
@operator_command
def create_account(
    database: Database, output: Output, name: str, plan: str, own: int | None, linked_context: str
) -> None:
    """Create an account, without credits and keys."""
    linked = linked_context == "on"
    what, make = action("accounts.create"), rows.create_account
    id = database.write_sync(audited, what, ("account", None), make, name, plan, own, linked_context=linked)

    def words() -> None:
        output.line(f"{id}  {name}, {plan}")
        output.note(f"Next: fusionai credits grant 100 --account {id}")
        output.note(f"      fusionai keys create --account {id}")

    limit = requests_per_minute(plan, own)
    made = {"id": id, "name": name, "plan": plan, "requests_per_minute": limit, "linked_context": linked}
    output.value(made, words)


@accounts.command("list")
@operator_command
def list_accounts(database: Database, output: Output) -> None:
    """List all accounts, the oldest first."""
    found = [_account(row) for row in database.read_sync(rows.list_accounts)]

    def words() -> None:
        cells = [
            [
                a["id"],
                a["name"],
                a["plan"],
                _limit_text(a),
                credits_text(a["available"]),
                credits_text(a["held"]),
                moment(a["created_at"]),
            ]
            for a in found
        ]
        output.table(_COLUMNS, cells, empty="No accounts.")

    output.value(found, words)


@accounts.command("show")
@click.argument("id", type=Id("account"))
@operator_command
def show_account(database: Database, output: Output, id: str) -> None:
    """Show an account and its keys."""
    found = _find(database, id)
    keys = database.read_sync(listed, database.read_sync(rows.list_keys, id))

    def words() -> None:
        output.fields(
            {
                "id": found["id"],
                "name": found["name"],
                "plan": found["plan"],
                "requests per minute": _limit_text(found),
                "available": f"{credits_text(found['available'])} credits",
                "held": f"{credits_text(found['held'])} credits",
                "unknown fields": found["unknown_fields"],
                "linked context": _switch(found),
                "fallbacks": fallbacks_text(found["fallbacks"]),
                "created": moment(found["created_at"]),
            }
        )
        output.line()
        key_table(output, keys)

    output.value({**found, "keys": keys}, words)


@accounts.command("plan")
@click.argument("id", type=Id("account"))
@click.argument("plan", type=click.Choice(PLANS))
@operator_option
@operator_command
def set_plan(database: Database, output: Output, id: str, plan: str) -> None:
    """Move an account to another plan.

    Its own limit of requests per minute stays; `accounts limit ID plan` removes it.
    """
    database.write_sync(audited, action("accounts.plan"), ("account", id), rows.set_plan, id, plan)
    _show_limit(database, output, id)


@accounts.command("limit")
@click.argument("id", type=Id("account"))
@click.argument("requests", metavar="N|plan")
@operator_option
@operator_command
def set_limit(database: Database, output: Output, id: str, requests: str) -> None:
    """Set an account's own limit of requests per minute.

    `plan` instead of a number: the limit of its plan again. In effect within a second.
    """
    own: int | None = None if requests == "plan" else _REQUESTS(requests)
    set_own = rows.set_requests_per_minute
    database.write_sync(audited, action("accounts.limit"), ("account", id), set_own, id, own)
    _show_limit(database, output, id)


@accounts.command("set")
@click.argument("id", type=Id("account"))
@click.option(
    "--unknown-fields",
    type=click.Choice(["refuse", "ignore"]),
    help="Unknown fields of a request: answer 400, or leave them out and list them in the job's `ignored`.",
)
@click.option("--linked-context", type=_SWITCH, help=_LINKED_HELP)
@click.option(
    "--fallback",
    "fallbacks",
    multiple=True,
    metavar="ID",
    help="A default fallback of its keys; repeat it. none: no fallbacks; default: those of the catalogue.",
)
@operator_option
@operator_command
def set_account(
    database: Database,
    output: Output,
    id: str,
    unknown_fields: rows.UnknownFields | None,
    linked_context: str | None,
    fallbacks: tuple[str, ...],
) -> None:
    """Set how an account's requests are read, and what they may ask.

    In effect within a second, also for batches whose file has not been read yet.
    """
    if unknown_fields is None and linked_context is None and not fallbacks:
        raise click.UsageError("nothing to set: give --unknown-fields, --linked-context or --fallback")
    what, subject = action("accounts.set"), ("account", id)
    if unknown_fields is not None:
        database.write_sync(audited, what, subject, rows.set_unknown_fields, id, unknown_fields)
    if linked_context is not None:
        database.write_sync(audited, what, subject, rows.set_linked_context, id, linked_context == "on")
    if fallbacks:
        names = named_fallbacks(fallbacks)
        key_limits.check_names("fallbacks", names or [], catalogue())
        database.write_sync(audited, what, subject, key_limits.set_account_fallbacks, id, names)
    found = _find(database, id)
    said = f"unknown fields: {found['unknown_fields']}, linked context: {_switch(found)}"
    said += f", fallbacks: {fallbacks_text(found['fallbacks'])}"
    output.value(found, lambda: output.line(f"{id}  {found['name']}, {said}"))


@accounts.command("billing")
@click.argument("id", type=Id("account"))
@click.option("--name", metavar="TEXT", help="The name on its invoices; empty: the account's own.")
@click.option("--address", metavar="TEXT", help="The address; \\n begins a new line.")
@click.option("--tax-id", metavar="TEXT", help="Its tax id, such as a VAT number.")
@operator_option
@operator_command
def set_billing(
    database: Database, output: Output, id: str, name: str | None, address: str | None, tax_id: str | None
) -> None:
    """Show or change what invoices say of an account.

    Invoices that have been made stay as they are.
    """
    if not (name is address is tax_id is None):
        lines = None if address is None else address.replace("\\n", "\n")
        what, subject = action("accounts.billing"), ("account", id)
        database.write_sync(audited, what, subject, parties.set_buyer, id, name=name, address=lines, tax_id=tax_id)
    found = database.read_sync(parties.buyer, id)
    shown = {"name": found["name"], "tax id": found["tax_id"] or None}
    address_lines = [("address" if not at else "", line) for at, line in enumerate(found["address"].splitlines())]
    output.value({"id": id, **found}, lambda: output.fields([*shown.items(), *address_lines]))


accounts.add_command(audit)


def _switch(account: Mapping[str, Any]) -> str:
    return "on" if account["linked_context"] else "off"


def _find(database: Database, id: str) -> dict[str, Any]:
    found = next((_account(row) for row in database.read_sync(rows.list_accounts) if row["id"] == id), None)
    if found is None:
        raise NotFound(f"not found: account {id!r}")
    return found


def _show_limit(database: Database, output: Output, id: str) -> None:
    found = _find(database, id)
    words = f"{id}  {found['name']}, {found['plan']}, requests per minute: {_limit_text(found)}"
    output.value(found, lambda: output.line(words))


def _limit_text(account: Mapping[str, Any]) -> str:
    limit = account["requests_per_minute"]
    own = ", its own" if account["requests_per_minute_is_own"] else ""
    return "no limit" if limit is None else f"{limit:,}{own}"


def _account(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "plan": row["plan"],
        "requests_per_minute": requests_per_minute(row["plan"], row["requests_per_minute"]),
        "requests_per_minute_is_own": row["requests_per_minute"] is not None,
        "unknown_fields": row["unknown_fields"],
        "linked_context": bool(row["linked_context"]),
        "fallbacks": key_limits.listed(row["fallbacks"]),
        "available": in_credits(row["available_micros"]),
        "held": in_credits(row["held_micros"]),
        "created_at": row["created_at"] // clock.MICROS,
    }
