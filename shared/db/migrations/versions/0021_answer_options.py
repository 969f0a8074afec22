"""What was asked of a job's answer beside what its provider is sent. NULL: nothing."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("answer_options", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "answer_options")
