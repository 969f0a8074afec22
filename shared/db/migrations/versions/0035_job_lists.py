"""Jobs of an account that are not over, and those that did not succeed, are listed however many others it has."""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import text

revision: str = "0035"
down_revision: str | None = "0034"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_INDEXES = {
    "jobs_unfinished_of_account": "status IN ('queued', 'running')",
    "jobs_unsuccessful_of_account": "status IN ('failed', 'cancelled', 'expired')",
}


def upgrade() -> None:
    for name, where in _INDEXES.items():
        op.create_index(
            name, "jobs", ["account_id", "test", "id"], sqlite_where=text(where), postgresql_where=text(where)
        )


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, "jobs")
