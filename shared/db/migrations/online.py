"""Changes of a table that others read and write meanwhile: what PostgreSQL does only outside of a transaction.

A migration that makes an index of a table that was there before it does nothing else, so that one which was killed can
simply be made again.
"""

from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import text

from shared.db.migrations.apart import patient

_INVALID = text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")


def create_index(name: str, table: str, columns: Sequence[Any], **more: Any) -> None:
    """As `op.create_index`, while rows of the table are written; an index that was left half made is made anew.

    Without it the table is locked for as long as it takes to read it: minutes, of a hundred million rows.
    """
    if op.get_bind().dialect.name == "sqlite":
        op.create_index(name, table, columns, **more)
        return
    half = op.get_bind().execute(_INVALID, {"name": name}).first()
    with op.get_context().autocommit_block(), patient(op.get_bind()):
        if half:
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, if_not_exists=True, **more)
