"""What operators' commands share: they work on the database itself, with the deployment's settings."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

import click
from sqlalchemy import Connection, make_url

from producer.cli import stored_ids
from producer.cli.ids import Id, Short
from producer.cli.output import Output, json_option
from shared import accounts
from shared.db import Database
from shared.errors import NotFound
from shared.settings import settings

P = ParamSpec("P")
#: The attribute that marks the functions of these commands; tests find them by it.
ON_DATABASE: Final = "on_database"


def operator_command(function: Callable[Concatenate[Database, Output, P], None]) -> Callable[..., None]:
    """Give a command --json, and the database and an output as its first arguments."""

    @json_option
    @wraps(function)
    def command(*args: Any, as_json: bool, **kwargs: Any) -> None:
        database = open_database()
        try:
            given = {name: stored(database, value) for name, value in kwargs.items()}
            function(database, Output(as_json), *args, **given)
        finally:
            database.close()

    vars(command)[ON_DATABASE] = True
    return command


def stored(database: Database, value: Any) -> Any:
    """A short id as the whole one that it means; anything else is itself."""
    return database.read_sync(stored_ids.whole, value) if isinstance(value, Short) else value


def open_database() -> Database:
    """The deployment's database. An SQLite file that is not there is not made: that would hide a wrong directory."""
    url = make_url(settings().database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        from pathlib import Path

        if not Path(url.database).exists():
            raise click.ClickException(f"no database {url.database}; `fusionai up` or `fusionai migrate` makes it")
    return Database(settings().database_url)


def only_account(connection: Connection) -> str:
    """The account that is meant when none is named: the only one."""
    found = accounts.list_accounts(connection)
    if len(found) != 1:
        raise click.UsageError(f"there are {len(found)} accounts; say which with --account (fusionai accounts list)")
    return str(found[0]["id"])


def named_account(connection: Connection, named: str | None) -> str:
    """The id of the account that is named by its id, the end of it after `…`, or its name; else of the only one."""
    if named is None:
        return only_account(connection)
    short = Id("account").convert(named, None, None)
    if isinstance(short, Short):
        return str(stored_ids.whole(connection, short))
    found = [row["id"] for row in accounts.list_accounts(connection) if named in (row["id"], row["name"])]
    if len(found) != 1:
        few = f"{len(found) or 'no'} accounts match {named[:100]!r}; one must match (fusionai accounts list)"
        raise NotFound(f"not found: {few}")
    return str(found[0])
