"""A job says in which span of a trace it was accepted, where that is traced."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0045"
down_revision: str | None = "0043"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("job_payloads", sa.Column("trace", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("job_payloads", "trace")
