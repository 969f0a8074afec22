"""What was granted and what expired is found by account and time, without the charges of jobs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0037"
down_revision: str | None = "0036"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_GIVEN = sa.text("kind IN ('grant', 'expire')")


def upgrade() -> None:
    columns = ["account_id", "created_at"]
    op.create_index("transfers_given", "transfers", columns, sqlite_where=_GIVEN, postgresql_where=_GIVEN)


def downgrade() -> None:
    op.drop_index("transfers_given", "transfers")
