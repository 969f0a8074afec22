"""Results have what was written into a cache for an hour, and the service tier; NULL: an earlier version wrote them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("job_results", sa.Column("cache_creation_1h_tokens", sa.BigInteger(), nullable=True))
    op.add_column("job_results", sa.Column("service_tier", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("job_results", "service_tier")
    op.drop_column("job_results", "cache_creation_1h_tokens")
