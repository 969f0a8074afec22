"""Deliveries that wait are found by their webhook: one with very many due ones is looked at as quickly as any other."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0030"
down_revision: str | None = "0029"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_PENDING = sa.text("status = 'pending'")


def upgrade() -> None:
    columns = ["webhook_id", "next_at"]
    op.create_index("deliveries_waiting", "deliveries", columns, sqlite_where=_PENDING, postgresql_where=_PENDING)


def downgrade() -> None:
    op.drop_index("deliveries_waiting", "deliveries")
