"""fusionai keys: the API keys of the accounts; made by the operator, on the database."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click
from sqlalchemy import Connection, select

from producer.cli import key_secrets
from producer.cli.amounts import expiry
from producer.cli.auditing import action, audited, operator_option
from producer.cli.groups import DefaultGroup
from producer.cli.key_limits import budget_table, change_of, fields, in_short, is_used_up, limit_options
from producer.cli.operator import named_account, operator_command
from producer.cli.output import Output, moment
from producer.cli.tables import Column, short_id
from producer.operations.keys import described, limits, listed
from shared import accounts as rows
from shared import clock, key_limits, key_standing
from shared.db import Database
from shared.db.models import api_keys
from shared.key_limits import Change
from shared.key_texts import Mode

_COLUMNS = [
    Column("id", short=short_id),
    Column("account", drop=6),
    Column("mode", drop=1),
    Column("name", text=True),
    Column("key", drop=3),
    Column("created", drop=5),
    Column("last used", drop=4),
    Column("limits", text=True, drop=2),
    Column("state", styled=True),
]


@click.group(cls=DefaultGroup)
def keys() -> None:
    """Create, list, show, change and revoke API keys."""


@keys.command("create")
@click.option("--account", metavar="ID", help="Its id or name; optional when there is only one.")
@click.option("--mode", type=click.Choice(["live", "test"]), default="live", show_default=True, help="Test is free.")
@click.option("--name", default="", help="A name to recognise it by.")
@click.option("--expires", metavar="WHEN", help="30d, 12h, or a UTC date such as 2027-01-31.  [default: never]")
@limit_options(sets=False)
@operator_option
@operator_command
def create_key(
    database: Database,
    output: Output,
    /,
    account: str | None,
    mode: Mode,
    name: str,
    expires: str | None,
    **given: Any,
) -> None:
    """Create a key.

    It is shown only once: the database keeps no more than its hash.
    """
    wanted = _change(given, mode)
    until = expiry(expires) if expires else None
    account_id = database.read_sync(named_account, account)

    def create(connection: Connection) -> tuple[str, str]:
        id, key = rows.create_key(connection, account_id, mode, name=name, expires_at=until)
        key_limits.change(connection, id, wanted)
        return id, key

    id, key = database.write_sync(audited, action("keys.create"), ("key", None), create)

    def words() -> None:
        output.line(key)
        # A script reads the key alone from standard output.
        ends = f"expires {moment(clock.seconds(until))}" if until else "does not expire"
        about = f"{id}, {mode}, of {account_id}, {ends}; save the key now, it is not shown again"
        click.echo(about, err=not output.is_terminal)

    made = {"id": id, "account_id": account_id, "mode": mode, "name": name, "expires_at": clock.seconds(until)}
    output.value({**made, **database.read_sync(limits, id), "key": key}, words)


@keys.command("set")
@click.argument("id")
@click.option("--name", help="A name to recognise it by.")
@click.option("--expires", metavar="WHEN", help="30d, 12h, or a UTC date such as 2027-01-31; never.")
@limit_options(sets=True)
@operator_option
@operator_command
def set_key(
    database: Database, output: Output, /, id: str, name: str | None, expires: str | None, **given: Any
) -> None:
    """Change what a key may do.

    ID is its id (or how it ends, as `…3e03717f`), its name, its first characters, or the key itself. In effect within a
    second. A budget counts what the key is asked for from then on; jobs under way go on as they were accepted.
    """
    found = database.write_sync(rows.named_key, id)
    wanted = _change(given, database.read_sync(_row, found)["mode"])
    values = dict(wanted.values)
    if name is not None:
        values["name"] = name
    if expires is not None:
        values["expires_at"] = None if expires == "never" else expiry(expires)
    if not values and not wanted.budgets and wanted.thresholds is None:
        raise click.UsageError("nothing to set; see fusionai keys set --help")
    what, subject = action("keys.set"), ("key", found)
    database.write_sync(audited, what, subject, key_limits.change, found, replace(wanted, values=values))
    _show(database, output, found)


@keys.command("show")
@click.argument("id")
@operator_command
def show_key(database: Database, output: Output, id: str) -> None:
    """Show a key, what it may do, and its budgets.

    ID is its id (or how it ends, as `…3e03717f`), its name, its first characters, or the key itself.
    """
    _show(database, output, database.read_sync(rows.named_key, id))


@keys.command("list")
@click.option("--account", metavar="ID", help="Only the keys of this account, by its id or name.")
@click.option("--prefix", default="", help="Only keys that begin like this; a whole key will do.")
@click.option("--left", is_flag=True, help="Only those that are not known to stand under FUSIONAI_KEY_SECRET.")
@operator_command
def list_keys(database: Database, output: Output, account: str | None, prefix: str, left: bool) -> None:
    """List keys.

    Of each key its first characters are shown, and which models, permissions and budgets it has, if they are limited.
    The last use is accurate to the minute.
    """
    of = None if account is None else database.read_sync(named_account, account)
    found = database.read_sync(listed, database.read_sync(rows.list_keys, of, prefix=prefix, left=left))
    output.value(found, lambda: key_table(output, found))


@keys.command("secrets")
@operator_command
def show_secrets(database: Database, output: Output) -> None:
    """Show under which secrets keys stand.

    While FUSIONAI_KEY_SECRET is changed: how many keys that are good stand under the secret in force, the next and the
    old ones, which are told apart by marks. A key goes to the one in force when it is used. Once none is left, an old
    secret can be taken away (deploy/cluster.md).
    """
    counts = database.read_sync(key_standing.counts)
    output.value(key_secrets.objects(counts), lambda: key_secrets.show(output, counts))


@keys.command("revoke")
@click.argument("id")
@operator_option
@operator_command
def revoke_key(database: Database, output: Output, id: str) -> None:
    """Revoke a key.

    ID is its id (or how it ends, as `…3e03717f`), its name, its first characters, or the key itself.
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


def _change(given: Mapping[str, Any], mode: str) -> Change:
    """What the options of a key's limits set; test keys have neither budgets nor thresholds."""
    wanted = change_of(**given)
    if mode == "test" and (wanted.thresholds or any(micros is not None for micros in wanted.budgets.values())):
        raise click.UsageError("a test key is never charged, so it has neither --budget nor --threshold")
    return wanted


def _row(connection: Connection, id: str) -> Mapping[str, Any]:
    return next(row for row in rows.list_keys(connection) if row["id"] == id)


def _show(database: Database, output: Output, id: str) -> None:
    """A key with its limits, and how its budgets stand."""
    key = {**described(database.read_sync(_row, id)), **database.read_sync(limits, id)}

    def words() -> None:
        about = {"id": key["id"], "account": key["account_id"], "mode": key["mode"], "name": key["name"] or None}
        times = {"created": moment(key["created_at"]), "last used": moment(key["last_used_at"]) or "never"}
        output.fields({**about, "key": f"{key['prefix']}…", "state": _state(key), **times, **fields(key)})
        budget_table(output, key)

    output.value(key, words)


def key_table(output: Output, found: list[dict[str, Any]]) -> None:
    """Keys, with their limits, as a table."""
    cells = [
        [
            key["id"],
            key["account_id"],
            key["mode"],
            key["name"],
            f"{key['prefix']}…",
            moment(key["created_at"]),
            moment(key["last_used_at"]) or "never",
            in_short(key),
            _state(key),
        ]
        for key in found
    ]
    output.table(_COLUMNS, cells, empty="No keys.")


def _state(key: Mapping[str, Any]) -> str:
    if key["revoked_at"]:
        return f"revoked {moment(key['revoked_at'])}"
    ends = moment(key["expires_at"])
    if ends and key["expires_at"] <= clock.now_seconds():
        return f"expired {ends}"
    if is_used_up(key):
        return "budget used up"
    return f"expires {ends}" if ends else "active"
