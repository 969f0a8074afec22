"""Alembic's entry: runs the revisions on the connection that `migrate` hands over."""

from typing import Any, Literal

from alembic import context
from sqlmodel import AutoString

from shared.db.models import metadata


def _written(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """How a new revision writes a thing: SQLModel's own kind of text is a plain string."""
    return "sa.String()" if kind == "type" and isinstance(item, AutoString) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
    render_item=_written,
    transaction_per_migration=True,
    transactional_ddl=True,  # SQLite's too: `migrate` has its driver begin transactions
)
with context.begin_transaction():
    context.run_migrations()
