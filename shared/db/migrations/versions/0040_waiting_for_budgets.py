"""Batches in slices may wait for a budget of their key (NULL: they do not); none counts less than nothing in it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0040"
down_revision: str | None = "0039"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("budget_short_micros", sa.BigInteger(), nullable=True))
    op.add_column("batches", sa.Column("budget_until", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("batches") as changed:
        changed.create_check_constraint("budget_rest_not_negative", "budget_rest_micros >= 0")


def downgrade() -> None:
    with op.batch_alter_table("batches") as changed:
        changed.drop_constraint("budget_rest_not_negative", type_="check")
    op.drop_column("batches", "budget_until")
    op.drop_column("batches", "budget_short_micros")
