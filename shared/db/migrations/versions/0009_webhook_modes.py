"""Events, webhooks and deliveries are live or test; secrets that overlap, pauses and lost claims of deliveries."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    for table in ("events", "webhooks", "deliveries"):
        op.add_column(table, sa.Column("test", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("accounts", sa.Column("test_sequence", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("webhooks", sa.Column("old_secrets", sa.Text(), nullable=True))
    op.add_column("webhooks", sa.Column("paused_until", sa.BigInteger(), nullable=True))
    op.add_column("deliveries", sa.Column("claims", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("deliveries", sa.Column("asked_at", sa.BigInteger(), nullable=True))
    op.drop_index("events_in_order", "events")
    op.create_index("events_in_order", "events", ["account_id", "test", "sequence"], unique=True)


def downgrade() -> None:
    op.execute("DELETE FROM deliveries WHERE test")
    op.execute("DELETE FROM events WHERE test")
    op.execute("DELETE FROM webhooks WHERE test")
    op.drop_index("events_in_order", "events")
    op.create_index("events_in_order", "events", ["account_id", "sequence"], unique=True)
    op.drop_column("deliveries", "asked_at")
    op.drop_column("deliveries", "claims")
    op.drop_column("webhooks", "paused_until")
    op.drop_column("webhooks", "old_secrets")
    op.drop_column("accounts", "test_sequence")
    for table in ("deliveries", "webhooks", "events"):
        op.drop_column(table, "test")
