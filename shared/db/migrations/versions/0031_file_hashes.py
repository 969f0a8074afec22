"""Files have the SHA-256 of their bytes, against which `fusionai verify --files` holds them; NULL: not known."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0031"
down_revision: str | None = "0030"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("files", sa.Column("sha256", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("files", "sha256")
