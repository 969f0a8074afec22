"""Lines of batches may be in a dialect's own form, and are kept as they were sent. NULL: in the native one."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("dialect", sa.String(), nullable=True))
    op.add_column("job_payloads", sa.Column("sent", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("job_payloads", "sent")
    op.drop_column("jobs", "dialect")
