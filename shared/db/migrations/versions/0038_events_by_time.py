"""The event of a job's end is found by the instant at which both were written."""

from collections.abc import Sequence

from alembic import op

revision: str = "0038"
down_revision: str | None = "0037"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("events_by_time", "events", ["created_at"])


def downgrade() -> None:
    op.drop_index("events_by_time", "events")
