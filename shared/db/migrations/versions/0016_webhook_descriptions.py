"""Webhooks have the description that their owner gives them; NULL: none, or an earlier version took the webhook."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("description", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("webhooks", "description")
