"""Results and batches have the parts of their tokens that providers tell: cached, written to the cache, reasoning."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_DETAILS = ("cached_tokens", "cache_creation_tokens", "reasoning_tokens")


def upgrade() -> None:
    for table in ("job_results", "batches"):
        for name in _DETAILS:
            op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("batches", sa.Column("estimated", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("batches", "estimated")
    for table in ("batches", "job_results"):
        for name in reversed(_DETAILS):
            op.drop_column(table, name)
