"""What was sent on of a streamed answer is known to its job's row, and kept with the result of a job cut short."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("relayed_micros", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("relayed", sa.Text(), nullable=True))
    op.add_column("job_results", sa.Column("partial", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("job_results", "partial")
    op.drop_column("jobs", "relayed")
    op.drop_column("jobs", "relayed_micros")
