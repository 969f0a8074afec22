"""A worker's row says how it ended, so that only an unexplained death tells against its jobs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("ended", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "ended")
