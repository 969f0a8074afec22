"""Entries of the audit log are found by their action, of all accounts and of one."""

from collections.abc import Sequence

from alembic import op

from shared.db.migrations import online

revision: str = "0042"
down_revision: str | None = "0040"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    online.create_index("audit_by_action", "audit_log", ["action", "id"])
    online.create_index("audit_of_account_by_action", "audit_log", ["account_id", "action", "id"])


def downgrade() -> None:
    op.drop_index("audit_of_account_by_action", "audit_log")
    op.drop_index("audit_by_action", "audit_log")
