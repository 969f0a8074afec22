"""Jobs and batches may name an address for the event of their end, signed with a secret of their account's; deliveries
keep their attempts, webhooks since when they fail and why they were disabled.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0029"
down_revision: str | None = "0028"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_OWED = sa.text("callback_owed AND status IN ('completed', 'failed', 'expired', 'cancelled')")
_NAMED = sa.text("callback_url IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "callback_secrets",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("old_secrets", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("one_callback_secret_a_mode", "callback_secrets", ["account_id", "test"], unique=True)
    op.add_column("deliveries", sa.Column("url", sa.String(), nullable=True))
    op.add_column("deliveries", sa.Column("log", sa.Text(), nullable=True))
    op.add_column("webhooks", sa.Column("failing_since", sa.BigInteger(), nullable=True))
    op.add_column("webhooks", sa.Column("failed_at", sa.BigInteger(), nullable=True))
    op.add_column("webhooks", sa.Column("disabled_reason", sa.String(), nullable=True))
    op.add_column("job_payloads", sa.Column("callback_url", sa.String(), nullable=True))
    op.add_column("batches", sa.Column("callback_url", sa.String(), nullable=True))
    op.add_column("batches", sa.Column("callback_owed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("batches_owing_callback", "batches", ["id"], sqlite_where=_OWED, postgresql_where=_OWED)
    op.create_index("batches_with_callback", "batches", ["id"], sqlite_where=_NAMED, postgresql_where=_NAMED)


def downgrade() -> None:
    op.drop_index("batches_with_callback", "batches")
    op.drop_index("batches_owing_callback", "batches")
    op.execute("DELETE FROM deliveries WHERE url IS NOT NULL")
    op.drop_column("batches", "callback_owed")
    op.drop_column("batches", "callback_url")
    op.drop_column("job_payloads", "callback_url")
    op.drop_column("webhooks", "disabled_reason")
    op.drop_column("webhooks", "failed_at")
    op.drop_column("webhooks", "failing_since")
    op.drop_column("deliveries", "log")
    op.drop_column("deliveries", "url")
    op.drop_index("one_callback_secret_a_mode", "callback_secrets")
    op.drop_table("callback_secrets")
