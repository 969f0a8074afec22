"""A key says under which secret it is hashed."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0047"
down_revision: str | None = "0046"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("hashed_by", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("api_keys", "hashed_by")
