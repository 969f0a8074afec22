"""Entities that chats may be linked to, which accounts may do so, and which ones a job was linked to."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "entities",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "type", "id"),
    )
    op.add_column("accounts", sa.Column("linked_context", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("job_payloads", sa.Column("linked_context", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("job_payloads", "linked_context")
    op.drop_column("accounts", "linked_context")
    op.drop_table("entities")
