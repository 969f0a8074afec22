"""Lines of batches may be in a dialect's own form, and are kept as they were sent (NULL: in the native one); jobs say
whose events of their end are still to be written (NULL: none).
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_UNTOLD = sa.text("owed_events IS NOT NULL AND status NOT IN ('queued', 'running')")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("dialect", sa.String(), nullable=True))
    op.add_column("job_payloads", sa.Column("sent", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("owed_events", sa.String(), nullable=True))
    op.create_index("jobs_untold", "jobs", ["id"], sqlite_where=_UNTOLD, postgresql_where=_UNTOLD)


def downgrade() -> None:
    op.drop_index("jobs_untold", "jobs")
    op.drop_column("jobs", "owed_events")
    op.drop_column("job_payloads", "sent")
    op.drop_column("jobs", "dialect")
