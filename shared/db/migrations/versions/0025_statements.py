"""Monthly statements: invoices have a period, and the details of seller and buyer as they were; months are closed when
their statement has been made; usage by day knows how much of it is of batches, which have statements of their own.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_MONTHLY, _OPEN, _CORRECTIONS = (
    sa.text(condition) for condition in ("period IS NOT NULL", "stated_at IS NULL", "kind IN ('refund', 'adjust')")
)
_COUNTED = (
    *("single_jobs", "batch_jobs", "batch_prompt_tokens", "batch_completion_tokens", "batch_images"),
    "batch_charged_micros",
)


def upgrade() -> None:
    op.add_column("accounts", sa.Column("billing", sa.Text(), nullable=True))
    op.add_column("invoices", sa.Column("period", sa.String(), nullable=True))
    op.add_column("invoices", sa.Column("parties", sa.Text(), nullable=True))
    op.create_index(
        "one_statement_a_month",
        "invoices",
        ["account_id", "period"],
        unique=True,
        sqlite_where=_MONTHLY,
        postgresql_where=_MONTHLY,
    )
    op.add_column("monthly_spend", sa.Column("stated_at", sa.BigInteger(), nullable=True))
    op.create_index("months_open", "monthly_spend", ["month", "account_id"], sqlite_where=_OPEN, postgresql_where=_OPEN)
    for name in _COUNTED:
        op.add_column("daily_usage", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index(
        "transfers_correcting",
        "transfers",
        ["account_id", "created_at"],
        sqlite_where=_CORRECTIONS,
        postgresql_where=_CORRECTIONS,
    )


def downgrade() -> None:
    op.drop_index("transfers_correcting", "transfers")
    for name in reversed(_COUNTED):
        op.drop_column("daily_usage", name)
    op.drop_index("months_open", "monthly_spend")
    op.drop_column("monthly_spend", "stated_at")
    op.drop_index("one_statement_a_month", "invoices")
    op.drop_column("invoices", "parties")
    op.drop_column("invoices", "period")
    op.drop_column("accounts", "billing")
