"""fusionai accounts, keys: who may use this deployment; made by the operator, on the database."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy import Connection, select

from producer.cli.groups import DefaultGroup
from producer.cli.operator import only_account, operator_command
from producer.cli.output import Output, credits_text, moment
from producer.cli.tables import Column
from shared import accounts as rows
from shared import clock
from shared.db import Database
from shared.db.models import api_keys
from shared.errors import NotFound
from shared.money.plans import MOST_REQUESTS_PER_MINUTE, PLANS, requests_per_minute
from shared.objects.amounts import credits as in_credits

_UNIT_SECONDS = {"h": 3600, "d": 86_400}
_COLUMNS = [
    Column("id", id=True),
    Column("name"),
    Column("plan", drop=1),
    Column("requests/min", right=True, drop=3),
    Column("available", right=True),
    Column("held", right=True, drop=2),
    Column("created", drop=4),
]
_KEY_COLUMNS = [
    Column("id", id=True),
    Column("account", drop=4, id=True),
    Column("mode"),
    Column("name", drop=1),
    Column("key"),
    Column("created", drop=3),
    Column("last used", drop=2),
    Column("state"),
]
_REQUESTS = click.IntRange(1, MOST_REQUESTS_PER_MINUTE)


@click.group(cls=DefaultGroup)
def accounts() -> None:
    """Create, list, show and change accounts."""


@accounts.command("create")
@click.argument("name")
@click.option("--plan", type=click.Choice(PLANS), default="starter", show_default=True)
@click.option("--requests-per-minute", "own", type=_REQUESTS, metavar="N", help="Its own, whatever the plan has.")
@operator_command
def create_account(database: Database, output: Output, name: str, plan: str, own: int | None) -> None:
    """Make an account, without credits and without keys."""
    id = database.write_sync(rows.create_account, name, plan, own)

    def words() -> None:
        output.line(f"{id}  {name}, {plan}")
        output.line(f"Next: fusionai credits grant 100 --account {id}; fusionai keys create --account {id}")

    limit = requests_per_minute(plan, own)
    output.value({"id": id, "name": name, "plan": plan, "requests_per_minute": limit}, words)


@accounts.command("list")
@operator_command
def list_accounts(database: Database, output: Output) -> None:
    """List every account, the oldest first."""
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
@click.argument("id")
@operator_command
def show_account(database: Database, output: Output, id: str) -> None:
    """Show an account and its keys."""
    found = _find(database, id)
    keys = [_key(row) for row in database.read_sync(rows.list_keys, id)]

    def words() -> None:
        output.fields(
            {
                "id": found["id"],
                "name": found["name"],
                "plan": found["plan"],
                "requests a minute": _limit_text(found),
                "available": f"{credits_text(found['available'])} credits",
                "held": f"{credits_text(found['held'])} credits",
                "unknown fields": found["unknown_fields"],
                "created": moment(found["created_at"]),
            }
        )
        output.line()
        _key_table(output, keys)

    output.value({**found, "keys": keys}, words)


@accounts.command("plan")
@click.argument("id")
@click.argument("plan", type=click.Choice(PLANS))
@operator_command
def set_plan(database: Database, output: Output, id: str, plan: str) -> None:
    """Move an account to another plan.

    Requests a minute of its own stay; `accounts limit ID plan` ends them.
    """
    database.write_sync(rows.set_plan, id, plan)
    _tell_limit(database, output, id)


@accounts.command("limit")
@click.argument("id")
@click.argument("requests", metavar="N|plan")
@operator_command
def set_limit(database: Database, output: Output, id: str, requests: str) -> None:
    """Give an account its own requests a minute.

    With the word `plan` its plan's again. In effect in a second.
    """
    own: int | None = None if requests == "plan" else _REQUESTS(requests)
    database.write_sync(rows.set_requests_per_minute, id, own)
    _tell_limit(database, output, id)


@accounts.command("set")
@click.argument("id")
@click.option(
    "--unknown-fields",
    type=click.Choice(["refuse", "ignore"]),
    required=True,
    help="Fields of a request that nobody knows: a 400, or left out and listed in the job's `ignored`.",
)
@operator_command
def set_account(database: Database, output: Output, id: str, unknown_fields: rows.UnknownFields) -> None:
    """Change how an account's requests are read.

    In effect in a second; a batch is read as the account is set then.
    """
    database.write_sync(rows.set_unknown_fields, id, unknown_fields)
    found = _find(database, id)
    output.value(found, lambda: output.line(f"{id}  {found['name']}, unknown fields: {found['unknown_fields']}"))


@click.group(cls=DefaultGroup)
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command("create")
@click.option("--account", metavar="ID", help="Whose; may be left out when there is only one account.")
@click.option("--mode", type=click.Choice(["live", "test"]), default="live", show_default=True)
@click.option("--name", default="", help="To tell it by.")
@click.option("--expires", metavar="WHEN", help="30d, 12h, or a UTC date such as 2027-01-31.")
@operator_command
def create_key(
    database: Database, output: Output, account: str | None, mode: rows.Mode, name: str, expires: str | None
) -> None:
    """Make a key. It is shown this once; only a hash of it is kept."""
    until = expiry(expires) if expires else None
    account_id = account or database.read_sync(only_account)
    id, key = database.write_sync(rows.create_key, account_id, mode, name=name, expires_at=until)

    def words() -> None:
        output.line(key)
        # A script reads the key alone from standard output.
        ends = f"expires {moment(clock.seconds(until))}" if until else "does not expire"
        about = f"{id}, {mode}, of {account_id}, {ends}; keep the key now, it is not shown again"
        click.echo(about, err=not output.is_terminal)

    made = {"id": id, "account_id": account_id, "mode": mode, "name": name, "expires_at": clock.seconds(until)}
    output.value({**made, "key": key}, words)


@keys.command("list")
@click.option("--account", metavar="ID", help="Only this account's.")
@click.option("--prefix", default="", help="Only those that begin so: fusionai_live_ab, or a whole key.")
@operator_command
def list_keys(database: Database, output: Output, account: str | None, prefix: str) -> None:
    """List keys, by their first characters. Their last use is known to the minute."""
    found = [_key(row) for row in database.read_sync(rows.list_keys, account, prefix=prefix)]
    output.value(found, lambda: _key_table(output, found))


@keys.command("revoke")
@click.argument("id")
@operator_command
def revoke_key(database: Database, output: Output, id: str) -> None:
    """End a key.

    By its id, its first characters as listed, or the whole of it.
    """

    began = clock.now_micros()

    def revoke(connection: Connection) -> tuple[str, int]:
        revoked = rows.revoke_key(connection, id)
        at = select(api_keys.c.revoked_at).where(api_keys.c.id == revoked)
        return revoked, connection.execute(at).scalar_one()

    revoked, at = database.write_sync(revoke)
    before = at if at < began else None
    already = f"was revoked already, {moment(clock.seconds(before))}" if before else "revoked"
    value = {"id": revoked, "revoked": True, "already": before is not None}
    output.value(value, lambda: output.line(f"{revoked} {already}"))


def expiry(when: str) -> int:
    """`30d`, `12h` or a UTC date, in microseconds since the epoch; it must lie ahead."""
    now = clock.now_micros()
    if match := re.fullmatch(r"([0-9]{1,5})([hd])", when):
        until = now + int(match[1]) * _UNIT_SECONDS[match[2]] * clock.MICROS
    else:
        try:
            date = datetime.fromisoformat(when)
        except ValueError:
            raise click.BadParameter(f"--expires: {when!r} is neither 30d, 12h nor a date") from None
        until = int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()) * clock.MICROS
    if until <= now:
        raise click.BadParameter(f"--expires: {when!r} is not in the future")
    return until


def _find(database: Database, id: str) -> dict[str, Any]:
    found = next((_account(row) for row in database.read_sync(rows.list_accounts) if row["id"] == id), None)
    if found is None:
        raise NotFound(f"there is no account {id}")
    return found


def _tell_limit(database: Database, output: Output, id: str) -> None:
    found = _find(database, id)
    words = f"{id}  {found['name']}, {found['plan']}, requests a minute: {_limit_text(found)}"
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
        "available": in_credits(row["available_micros"]),
        "held": in_credits(row["held_micros"]),
        "created_at": row["created_at"] // clock.MICROS,
    }


def _key(row: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: clock.seconds(row[name]) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
    return {name: row[name] for name in ("id", "account_id", "mode", "name", "prefix")} | times


def _key_table(output: Output, found: list[dict[str, Any]]) -> None:
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
    output.table(_KEY_COLUMNS, cells, empty="No keys.")


def _state(key: Mapping[str, Any]) -> str:
    if key["revoked_at"]:
        return f"revoked {moment(key['revoked_at'])}"
    if key["expires_at"]:
        word = "expires" if key["expires_at"] > clock.now_seconds() else "expired"
        return f"{word} {moment(key['expires_at'])}"
    return "active"
