"""fusionai accounts audit: what operators did, who, when and why."""

import json
import shlex
from typing import Any

import click

from producer.cli.ids import Id
from producer.cli.operator import named_account, operator_command
from producer.cli.output import Output, credits_text, moment
from producer.cli.tables import Column, short_id
from shared import audit as log
from shared.db import Database
from shared.submissions.sizes import MOST_PAGE

_COLUMNS = [
    Column("time"),
    Column("operator"),
    Column("action"),
    Column("subject", short=short_id, cut=3, drop=2),
    Column("what", text=True),
    Column("reason", text=True, drop=1),
]


@click.command()
@click.argument("account", required=False)
@click.option(
    "--limit", type=click.IntRange(1, MOST_PAGE), metavar="N", default=20, show_default=True, help="How many."
)
@click.option("--after", type=Id("entry"), metavar="ID", help="Begin after this entry.")
@click.option("--action", metavar="NAME", default="", help="Only actions that begin so: credits, console.keys.")
@operator_command
def audit(database: Database, output: Output, account: str | None, limit: int, after: str | None, action: str) -> None:
    """List what operators did, the newest first.

    Of one account (ACCOUNT is its id or name), or of all: accounts and keys that were created, changed and revoked,
    grants, refunds and adjustments, payments, entities that were imported and deleted.
    """
    account_id = database.read_sync(named_account, account) if account else None
    found = database.read_sync(log.entries, account_id, limit=limit, after=after, action=action)

    def words() -> None:
        cells = [
            [
                moment(entry["created_at"]),
                entry["operator"],
                entry["action"],
                entry["subject"]["id"],
                _what(entry),
                entry["reason"] or "",
            ]
            for entry in found
        ]
        output.table(_COLUMNS, cells, empty="No entries.")
        if len(found) == limit:
            asked = [*([account] if account else []), *(["--action", action] if action else [])]
            output.note(f"More: {shlex.join(['fusionai', 'accounts', 'audit', *asked, '--after', found[-1]['id']])}")

    output.value(found, words)


def _what(entry: dict[str, Any]) -> str:
    """Its amount, or its new values, each with what it was if it was something: `plan starter → business`."""
    after, before = entry["after"] or {}, entry["before"] or {}
    if "credits" in after:
        return f"{credits_text(after['credits'])} credits"
    if not after:
        return ", ".join(f"{name.replace('_', ' ')} {_text(value)} → none" for name, value in before.items())
    shown = {name: f"{_text(before[name])} → " if name in before else "" for name in after}
    return ", ".join(f"{name.replace('_', ' ')} {was}{_text(after[name])}" for name, was in shown.items())


def _text(value: object) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)
