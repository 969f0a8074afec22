"""Messages of payment providers are remembered by their ids, so that one that comes again changes nothing."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0039"
down_revision: str | None = "0038"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "payment_notices",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("heeded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "id"),
    )
    op.create_index("payment_notices_by_time", "payment_notices", ["heeded_at"])
    op.add_column("purchases", sa.Column("disputed_at", sa.BigInteger(), nullable=True))
    op.add_column("purchases", sa.Column("doubt", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("purchases", "doubt")
    op.drop_column("purchases", "disputed_at")
    op.drop_table("payment_notices")
