"""Keys have an allow-list, fallbacks, limits and budgets, in which jobs and batches count; usage is kept by key too."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_UNCOUNTED = sa.text("budget_open AND status NOT IN ('queued', 'running')")
_COUNTED = sa.text("budget_rest_micros > 0")
_SUMS = ("jobs", "prompt_tokens", "completion_tokens", "images", "charged_micros")
_OF_KEYS: Mapping[str, sa.types.TypeEngine[Any]] = {
    "models": sa.Text(),
    "fallbacks": sa.Text(),
    "requests_per_minute": sa.Integer(),
    "tokens_per_minute": sa.BigInteger(),
    "budget_day_micros": sa.BigInteger(),
    "budget_month_micros": sa.BigInteger(),
    "budget_total_micros": sa.BigInteger(),
}


def upgrade() -> None:
    op.add_column("accounts", sa.Column("fallbacks", sa.Text(), nullable=True))
    for name, kind in _OF_KEYS.items():
        op.add_column("api_keys", sa.Column(name, kind, nullable=True))
    op.add_column("api_keys", sa.Column("counted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("budget_at", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("budget_open", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("jobs_uncounted", "jobs", ["id"], sqlite_where=_UNCOUNTED, postgresql_where=_UNCOUNTED)
    op.add_column("batches", sa.Column("budget_at", sa.BigInteger(), nullable=True))
    op.add_column("batches", sa.Column("budget_rest_micros", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("batches_counted", "batches", ["id"], sqlite_where=_COUNTED, postgresql_where=_COUNTED)
    op.create_table(
        "key_spend",
        sa.Column("key_id", sa.String(), primary_key=True),
        sa.Column("period", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0") for name in _HELD),
        sa.CheckConstraint("held_micros >= 0", name="key_holds_not_negative"),
        sa.CheckConstraint("spent_micros >= 0", name="key_spend_not_negative"),
    )
    op.create_table(
        "key_usage",
        sa.Column("account_id", sa.String(), primary_key=True),
        sa.Column("day", sa.String(), primary_key=True),
        sa.Column("test", sa.Boolean(), primary_key=True),
        sa.Column("key_id", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), primary_key=True),
        *(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0") for name in _SUMS),
    )


_HELD = ("held_micros", "spent_micros")


def downgrade() -> None:
    op.drop_table("key_usage")
    op.drop_table("key_spend")
    op.drop_index("batches_counted", "batches")
    op.drop_column("batches", "budget_rest_micros")
    op.drop_column("batches", "budget_at")
    op.drop_index("jobs_uncounted", "jobs")
    op.drop_column("jobs", "budget_open")
    op.drop_column("jobs", "budget_at")
    op.drop_column("api_keys", "counted")
    for name in _OF_KEYS:
        op.drop_column("api_keys", name)
    op.drop_column("accounts", "fallbacks")
