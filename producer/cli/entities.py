"""fusionai entities: what chats may be linked to; imported by the operator, on the database."""

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

import click
from sqlalchemy import Connection

from producer.cli.auditing import action, operator_option
from producer.cli.failures import FaultyFileError
from producer.cli.faults import listed
from producer.cli.groups import DefaultGroup
from producer.cli.operator import named_account, operator_command
from producer.cli.output import Output, moment
from producer.cli.tables import Column, short_id
from shared import audit, clock
from shared.batches.line_files import FaultError
from shared.db import Database
from shared.entities import importing, store
from shared.errors import NotFound
from shared.submissions.linked_context import Entity, shown
from shared.submissions.sizes import MOST_FAULTS

#: Entities written in one transaction.
CHUNK: Final = 200
#: How the owner of a shared one is shown.
_SHARED: Final = "shared"
#: What an import is an entry of, in the audit log.
_SUBJECT: Final = ("entities", "import")
_COLUMNS = [
    Column("owner", short=short_id, cut=1),
    Column("type"),
    Column("id"),
    Column("name", text=True),
    Column("updated", drop=1),
]


def _of_owner(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --account and --shared."""
    function = click.option("--shared", is_flag=True, help="For all accounts.")(function)
    return click.option("--account", metavar="ID", help="For this account alone: its id, or its name.")(function)


@click.group(cls=DefaultGroup)
def entities() -> None:
    """Import, list, show, delete: what chats are linked to."""


@entities.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--from-line", type=click.IntRange(1), default=1, metavar="N", help="Begin at this line.")
@_of_owner
@operator_option
@operator_command
def import_file(
    database: Database, output: Output, file: BinaryIO, from_line: int, account: str | None, shared: bool
) -> None:
    """Import entities from a JSONL FILE; `-` reads standard input.

    A line is {"type", "id", "name", "attributes", "text"}; type and id are required. An entity that is there already
    is replaced, so an import that was interrupted is simply run again. Wrong lines are listed, the others imported.
    """
    owner = database.read_sync(_owner, account, shared)
    imported, faults = 0, list[FaultError]()
    chunk: list[Entity] = []
    for one in _entities(file, from_line):
        if isinstance(one, Entity):
            chunk.append(one)
        else:
            faults.append(one)
        if len(chunk) == CHUNK:
            imported += _save(database, owner, chunk)
        if len(faults) == MOST_FAULTS:
            break
    imported += _save(database, owner, chunk)
    if faults:
        raise _told(faults, imported, getattr(file, "name", None), as_json=output.as_json)
    output.value({"imported": imported, "owner": _shown(owner)}, lambda: output.line(f"{imported:,} entities imported"))


@entities.command("list")
@click.option("--type", "type", help="Only entities of this type.")
@click.option("--limit", type=click.IntRange(1, 1000), metavar="N", default=100, show_default=True, help="How many.")
@click.option("--after", metavar="ID", help="Begin after this id; needs --type, and --account or --shared.")
@_of_owner
@operator_command
def list_entities(
    database: Database,
    output: Output,
    type: str | None,
    limit: int,
    after: str | None,
    account: str | None,
    shared: bool,
) -> None:
    """List entities, by owner, type and id."""
    owner = database.read_sync(_owner, account, shared) if account or shared else None
    if after is not None and (type is None or owner is None):
        raise click.UsageError("--after needs --type, and --account or --shared")
    begin = (owner, type, after) if after is not None and type is not None and owner is not None else None
    found = [_row(row) for row in database.read_sync(store.page, owner, type, begin, limit)]

    def words() -> None:
        cells = [[e["owner"], e["type"], e["id"], e["name"], moment(e["updated_at"])] for e in found]
        output.table(_COLUMNS, cells, empty="No entities.")

    output.value(found, words)


@entities.command("show")
@click.argument("type")
@click.argument("id")
@_of_owner
@operator_command
def show_entity(database: Database, output: Output, type: str, id: str, account: str | None, shared: bool) -> None:
    """Show an entity as the model is shown it."""
    owner = database.read_sync(_owner, account, shared)
    entity = database.read_sync(store.get, owner, (type, id))
    if entity is None:
        raise _unknown(owner, type, id)
    made = {
        "owner": _shown(owner),
        "type": entity.type,
        "id": entity.id,
        "name": entity.name,
        "attributes": entity.attributes,
        "text": entity.text,
    }
    output.value(made, lambda: output.lines(shown(entity)))


@entities.command("delete")
@click.argument("type")
@click.argument("id")
@_of_owner
@operator_option
@operator_command
def delete_entity(database: Database, output: Output, type: str, id: str, account: str | None, shared: bool) -> None:
    """Delete an entity. Jobs that were linked to it keep what they were sent."""
    owner = database.read_sync(_owner, account, shared)
    what = action("entities.delete")

    def delete(connection: Connection) -> bool:
        removed = store.remove(connection, owner, (type, id))
        if removed:
            audit.record(connection, what, owner or None, ("entity", id), before={"type": type, "id": id})
        return removed

    if not database.write_sync(delete):
        raise _unknown(owner, type, id)
    made = {"owner": _shown(owner), "type": type, "id": id, "deleted": True}
    output.value(made, lambda: output.line(f"deleted: {type} {id}"))


def _entities(file: BinaryIO, first_line: int) -> Iterator[Entity | FaultError]:
    """The same, with what the whole file is wrong in as its last fault."""
    try:
        yield from importing.entities(file, first_line=first_line)
    except FaultError as fault:
        yield fault


def _told(faults: list[FaultError], imported: int, name: str | None, *, as_json: bool) -> FaultyFileError:
    """The error of a file with faults, which are listed before it unless JSON is wanted. `name`: of the file."""
    found = [fault.as_json() for fault in faults]
    for said in () if as_json else listed(found, None if name == "<stdin>" else name):
        click.echo(said, err=True)
    more = f"; reading stopped after {MOST_FAULTS}" if len(faults) == MOST_FAULTS else ""
    return FaultyFileError(f"faults: {len(faults)}{more}; imported: {imported:,}", found)


def _save(database: Database, owner: str, chunk: list[Entity]) -> int:
    """Write them, with their entry in the audit log, and forget them; how many."""
    if not chunk:
        return 0
    entities, what = list(chunk), action("entities.import")

    def save(connection: Connection) -> None:
        store.save(connection, owner, entities)
        ends = {
            name: {"type": one.type, "id": one.id} for name, one in (("first", entities[0]), ("last", entities[-1]))
        }
        audit.record(connection, what, owner or None, _SUBJECT, after={"entities": len(entities), **ends})

    database.write_sync(save)
    chunk.clear()
    return len(entities)


def _owner(connection: Connection, account: str | None, shared: bool) -> str:
    """The owner that the options name; an account is named by its id, or by a name that only it has."""
    if shared == (account is not None):
        raise click.UsageError("say whose: --account ID, or --shared")
    if account is None:
        return store.SHARED
    return named_account(connection, account)


def _unknown(owner: str, type: str, id: str) -> NotFound:
    return NotFound(f"not found: entity {type[:100]!r} {id[:100]!r} of {_shown(owner)}")


def _shown(owner: str) -> str:
    return owner or _SHARED


def _row(row: Any) -> dict[str, Any]:
    return {
        "owner": _shown(row["account_id"]),
        "type": row["type"],
        "id": row["id"],
        "name": row["name"],
        "updated_at": row["updated_at"] // clock.MICROS,
    }
