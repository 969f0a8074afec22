"""Answers to deterministic requests are cached; a result that is an earlier job's says which one's. NULL: its own."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "cached_answers",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "fingerprint"),
    )
    op.create_index("cached_answers_expiring", "cached_answers", ["expires_at"])
    op.add_column("job_results", sa.Column("cached_from", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("job_results", "cached_from")
    op.drop_table("cached_answers")
