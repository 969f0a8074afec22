"""Purchases are found by their account, however many statements of batches it has."""

from collections.abc import Sequence

from alembic import op

revision: str = "0032"
down_revision: str | None = "0031"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("purchases_of_account", "purchases", ["account_id", "invoice_id"])


def downgrade() -> None:
    op.drop_index("purchases_of_account", "purchases")
