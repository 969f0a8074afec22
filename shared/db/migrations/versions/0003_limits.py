"""Requests a minute of an account's own; jobs are listed by account and mode."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("requests_per_minute", sa.Integer(), nullable=True))
    op.drop_index("jobs_of_account", "jobs")
    op.create_index("jobs_of_account", "jobs", ["account_id", "test", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("jobs_of_account", "jobs")
    op.create_index("jobs_of_account", "jobs", ["account_id", "id"], unique=False)
    op.drop_column("accounts", "requests_per_minute")
