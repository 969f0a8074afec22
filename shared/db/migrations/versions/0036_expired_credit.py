"""What has expired is held once at most; keys may have permissions; due grants and top-ups are found by indexes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0036"
down_revision: str | None = "0035"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_INDEXES = (
    ("grants_to_tell", "credit_grants", ["warn_at"], sa.text("due_at IS NOT NULL AND warn_at IS NOT NULL")),
    ("top_ups_wanted", "auto_top_ups", ["account_id"], sa.text("enabled IS TRUE AND stopped IS NULL")),
)


def upgrade() -> None:
    op.add_column("accounts", sa.Column("expired_micros", sa.BigInteger(), nullable=False, server_default="0"))
    for name, table, columns, where in _INDEXES:
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    op.add_column("api_keys", sa.Column("permissions", sa.Text(), nullable=True))


def downgrade() -> None:
    for name, table, *_ in _INDEXES:
        op.drop_index(name, table)
    op.drop_column("api_keys", "permissions")
    op.drop_column("accounts", "expired_micros")
