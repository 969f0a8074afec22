"""What has expired while jobs held it may not be held once more; keys may have permissions."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0036"
down_revision: str | None = "0034"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("expired_micros", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("api_keys", sa.Column("permissions", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("api_keys", "permissions")
    op.drop_column("accounts", "expired_micros")
