"""fusionai keys: the API keys of the accounts; made by the operator, on the database."""

from collections.abc import Mapping
from typing import Any

import click
from sqlalchemy import Connection, select

from producer.cli.amounts import expiry
from producer.cli.auditing import action, audited, operator_option
from producer.cli.groups import DefaultGroup
from producer.cli.operator import named_account, operator_command
from producer.cli.output import Output, moment
from producer.cli.tables import Column, short_id
from shared import accounts as rows
from shared import clock
from shared.db import Database
from shared.db.models import api_keys

_COLUMNS = [
    Column("id", short=short_id),
    Column("account", drop=4),
    Column("mode"),
    Column("name", drop=1),
    Column("key"),
    Column("created", drop=3),
    Column("last used", drop=2),
    Column("state", styled=True),
]


@click.group(cls=DefaultGroup)
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command("create")
@click.option("--account", metavar="ID", help="Its id or name; optional when there is only one.")
@click.option("--mode", type=click.Choice(["live", "test"]), default="live", show_default=True, help="Test is free.")
@click.option("--name", default="", help="A name to recognise it by.")
@click.option("--expires", metavar="WHEN", help="30d, 12h, or a UTC date such as 2027-01-31.  [default: never]")
@operator_option
@operator_command
def create_key(
    database: Database, output: Output, account: str | None, mode: rows.Mode, name: str, expires: str | None
) -> None:
    """Create a key.

    It is shown only once: the database keeps no more than its hash.
    """
    until = expiry(expires) if expires else None
    account_id = database.read_sync(named_account, account)
    what, make = action("keys.create"), rows.create_key
    id, key = database.write_sync(audited, what, ("key", None), make, account_id, mode, name=name, expires_at=until)

    def words() -> None:
        output.line(key)
        # A script reads the key alone from standard output.
        ends = f"expires {moment(clock.seconds(until))}" if until else "does not expire"
        about = f"{id}, {mode}, of {account_id}, {ends}; save the key now, it is not shown again"
        click.echo(about, err=not output.is_terminal)

    made = {"id": id, "account_id": account_id, "mode": mode, "name": name, "expires_at": clock.seconds(until)}
    output.value({**made, "key": key}, words)


@keys.command("list")
@click.option("--account", metavar="ID", help="Only the keys of this account.")
@click.option("--prefix", default="", help="Only keys that begin like this; a whole key will do.")
@operator_command
def list_keys(database: Database, output: Output, account: str | None, prefix: str) -> None:
    """List keys.

    Of each key its first characters are shown. The last use is accurate to the minute.
    """
    found = [described(row) for row in database.read_sync(rows.list_keys, account, prefix=prefix)]
    output.value(found, lambda: key_table(output, found))


@keys.command("revoke")
@click.argument("id")
@operator_option
@operator_command
def revoke_key(database: Database, output: Output, id: str) -> None:
    """Revoke a key.

    ID is its id, its first characters as listed, or the key itself.
    """

    began, what = clock.now_micros(), action("keys.revoke")

    def revoke(connection: Connection) -> tuple[str, int]:
        found = rows.named_key(connection, id)
        revoked = audited(connection, what, ("key", found), rows.revoke_key, id)
        at = select(api_keys.c.revoked_at).where(api_keys.c.id == revoked)
        return revoked, connection.execute(at).scalar_one()

    revoked, at = database.write_sync(revoke)
    before = at if at < began else None
    already = f"was revoked already, {moment(clock.seconds(before))}" if before else "revoked"
    value = {"id": revoked, "revoked": True, "already": before is not None}
    output.value(value, lambda: output.line(f"{revoked} {already}"))


def described(row: Mapping[str, Any]) -> dict[str, Any]:
    """A key as --json shows it, without the key itself."""
    times = {name: clock.seconds(row[name]) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
    return {name: row[name] for name in ("id", "account_id", "mode", "name", "prefix")} | times


def key_table(output: Output, found: list[dict[str, Any]]) -> None:
    """Keys as a table."""
    cells = [
        [
            key["id"],
            key["account_id"],
            key["mode"],
            key["name"],
            f"{key['prefix']}…",
            moment(key["created_at"]),
            moment(key["last_used_at"]) or "never",
            _state(key),
        ]
        for key in found
    ]
    output.table(_COLUMNS, cells, empty="No keys.")


def _state(key: Mapping[str, Any]) -> str:
    if key["revoked_at"]:
        return f"revoked {moment(key['revoked_at'])}"
    if key["expires_at"]:
        word = "expires" if key["expires_at"] > clock.now_seconds() else "expired"
        return f"{word} {moment(key['expires_at'])}"
    return "active"
