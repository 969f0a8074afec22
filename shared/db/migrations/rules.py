"""What a migration must not do, since processes of the version before run beside it and after it.

Held for each migration by `tests/unit/test_migration_rules.py`: it adds, and nothing that it adds is refused to a
process that does not know it. What is taken away is a row of `shared.db.migrations.after.REMOVALS`.
"""

from collections.abc import Iterator, Sequence, Set
from typing import Final

from alembic.operations import ops

#: By migration, what is allowed although it is not an addition, and why.
EXCEPTIONS: Final = {
    ("0040", "CreateCheckConstraintOp"): "meant to refuse a version before it one kind of batch; of a small table",
}


def faults(revision: str, changes: Sequence[ops.MigrateOperation], online: Set[str]) -> Iterator[str]:
    """What is wrong with a migration's changes, in words. `online`: the indexes that it makes beside users."""
    made = {change.table_name for change in changes if isinstance(change, ops.CreateTableOp)}
    for change in changes:
        if (revision, type(change).__name__) not in EXCEPTIONS:
            yield from _fault(change, made, online)
    if online and len(changes) > len(online):
        yield "online.create_index goes into a migration of its own, which can be made again when it was killed"


def _fault(change: ops.MigrateOperation, made: Set[str], online: Set[str]) -> Iterator[str]:
    if isinstance(change, ops.AddColumnOp):
        column = change.column
        if not column.nullable and column.server_default is None:
            name = f"{change.table_name}.{column.name}"
            yield f"{name} is neither nullable nor has a server_default: older rows lack it"
    elif isinstance(change, ops.CreateIndexOp):
        if change.table_name not in made:
            yield from _of_index(change, online)
    elif not isinstance(change, ops.CreateTableOp):
        yield f"{type(change).__name__} is no addition: older processes may not bear it (see {__name__})"


def _of_index(change: ops.CreateIndexOp, online: Set[str]) -> Iterator[str]:
    """Of a table that was there before."""
    if change.index_name not in online:
        yield f"index {change.index_name}: online.create_index makes it while rows are written"
    if change.unique:
        yield f"index {change.index_name} is unique: what an older process writes may be refused"
