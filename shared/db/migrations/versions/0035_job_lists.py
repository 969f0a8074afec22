"""Jobs of an account that are not over, that did not succeed, or ended in a time, are found among many others."""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import text

revision: str = "0035"
down_revision: str | None = "0034"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

#: By name: the last column, and the condition.
_INDEXES = {
    "jobs_unfinished_of_account": ("id", "status IN ('queued', 'running')"),
    "jobs_unsuccessful_of_account": ("id", "status IN ('failed', 'cancelled', 'expired')"),
    "jobs_ended_of_account": ("finished_at", "finished_at IS NOT NULL"),
}


def upgrade() -> None:
    for name, (last, condition) in _INDEXES.items():
        where = text(condition)
        op.create_index(name, "jobs", ["account_id", "test", last], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, "jobs")
