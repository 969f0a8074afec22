"""An account may have fields that nobody knows passed over instead of refused."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("unknown_fields", sa.String(), nullable=False, server_default="refuse"))


def downgrade() -> None:
    op.drop_column("accounts", "unknown_fields")
