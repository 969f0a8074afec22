"""A batch can repeat another's failed lines: what that needs of lines, of their ends, and of batches."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_RETRIES = sa.text("retry_root IS NOT NULL")
_UNFINISHED_RETRIES = sa.text(
    "retry_root IS NOT NULL AND status IN ('validating', 'in_progress', 'finalizing', 'cancelling')"
)


def upgrade() -> None:
    op.add_column("job_payloads", sa.Column("routing", sa.Text(), nullable=True))
    op.add_column("job_results", sa.Column("reason", sa.String(), nullable=True))
    op.add_column("job_results", sa.Column("status_code", sa.Integer(), nullable=True))
    op.add_column("batches", sa.Column("retry_root", sa.String(), nullable=True))
    op.create_index(
        "retries_of_root", "batches", ["retry_root", "id"], sqlite_where=_RETRIES, postgresql_where=_RETRIES
    )
    op.create_index(
        "one_retry_at_a_time",
        "batches",
        ["retry_root"],
        unique=True,
        sqlite_where=_UNFINISHED_RETRIES,
        postgresql_where=_UNFINISHED_RETRIES,
    )


def downgrade() -> None:
    op.drop_index("one_retry_at_a_time", "batches")
    op.drop_index("retries_of_root", "batches")
    op.drop_column("batches", "retry_root")
    op.drop_column("job_results", "status_code")
    op.drop_column("job_results", "reason")
    op.drop_column("job_payloads", "routing")
