"""Jobs that wait for a time are out of the index of what may be woken; a batch may repeat another's failed lines."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TO_WAKE = sa.text("status = 'queued' AND woken_at IS NULL AND deferred_for IS NULL")
_TO_WAKE_BEFORE = sa.text("status = 'queued' AND woken_at IS NULL")
_DEFERRED = sa.text("status = 'queued' AND deferred_for IS NOT NULL")
_COLUMNS: list[Any] = ["queue", "account_id", sa.text("priority DESC"), "id"]


def upgrade() -> None:
    op.add_column("jobs", sa.Column("deferred_for", sa.String(), nullable=True))
    op.add_column("batches", sa.Column("retry_of", sa.String(), nullable=True))
    op.drop_index("jobs_to_wake", "jobs")
    op.create_index("jobs_to_wake", "jobs", _COLUMNS, sqlite_where=_TO_WAKE, postgresql_where=_TO_WAKE)
    op.create_index("jobs_deferred", "jobs", ["run_at"], sqlite_where=_DEFERRED, postgresql_where=_DEFERRED)


def downgrade() -> None:
    op.drop_index("jobs_deferred", "jobs")
    op.drop_index("jobs_to_wake", "jobs")
    op.create_index("jobs_to_wake", "jobs", _COLUMNS, sqlite_where=_TO_WAKE_BEFORE, postgresql_where=_TO_WAKE_BEFORE)
    op.drop_column("batches", "retry_of")
    op.drop_column("jobs", "deferred_for")
