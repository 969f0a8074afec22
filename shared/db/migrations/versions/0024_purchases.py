"""Purchases of credit: how each is paid, saved ways to pay, and automatic top-ups."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def _partial(name: str, table: str, column: str, where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, [column], unique=unique, sqlite_where=condition, postgresql_where=condition)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "purchases",
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("labels", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("method", sa.String(), server_default="checkout", nullable=False),
        sa.Column("attempt", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=True),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("payment", sa.String(), nullable=True),
        _flag("saves_method"),
        _flag("auto_top_up"),
        _flag("open_top_up"),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("refunded", sa.BigInteger(), server_default="0", nullable=False),
        _flag("disputed"),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("ask_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("invoice_id"),
    )
    _partial("purchases_to_ask", "purchases", "ask_at", "ask_at IS NOT NULL")
    _partial("one_open_top_up", "purchases", "account_id", "open_top_up IS TRUE", unique=True)
    _partial("purchases_paid_by", "purchases", "payment", "payment IS NOT NULL")
    op.create_table(
        "saved_payments",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("customer", sa.String(), nullable=False),
        sa.Column("payment", sa.String(), nullable=False),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id"),
    )
    op.create_table(
        "auto_top_ups",
        sa.Column("account_id", sa.String(), nullable=False),
        _flag("enabled"),
        sa.Column("threshold_micros", sa.BigInteger(), nullable=False),
        sa.Column("credits_micros", sa.BigInteger(), nullable=False),
        sa.Column("monthly_micros", sa.BigInteger(), nullable=False),
        sa.Column("stopped", sa.String(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id"),
    )


def downgrade() -> None:
    op.drop_table("auto_top_ups")
    op.drop_table("saved_payments")
    op.drop_index("purchases_paid_by", "purchases")
    op.drop_index("one_open_top_up", "purchases")
    op.drop_index("purchases_to_ask", "purchases")
    op.drop_table("purchases")
