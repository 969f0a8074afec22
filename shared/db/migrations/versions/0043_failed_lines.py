"""The lines of a batch that did not succeed are found among all its others."""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import text

from shared.db.migrations import online

revision: str = "0043"
down_revision: str | None = "0042"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_WHERE = "batch_id IS NOT NULL AND status IN ('failed', 'cancelled', 'expired')"


def upgrade() -> None:
    where = text(_WHERE)
    online.create_index(
        "jobs_unsuccessful_of_batch", "jobs", ["batch_id", "id"], sqlite_where=where, postgresql_where=where
    )


def downgrade() -> None:
    op.drop_index("jobs_unsuccessful_of_batch", "jobs")
