"""Batches made in a dialect's own form say which, how many requests they were sent with, and when they were deleted."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("dialect", sa.String(), nullable=True))
    op.add_column("batches", sa.Column("requests", sa.BigInteger(), nullable=True))
    op.add_column("batches", sa.Column("deleted_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for name in ("deleted_at", "requests", "dialect"):
        op.drop_column("batches", name)
