"""Jobs may wait for credit (NULL: it is held), and batches hold as they advance, or later (NULL: all at once)."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_AWAITING_CREDIT = sa.text("status = 'queued' AND wanted_micros IS NOT NULL")
_TO_READ = sa.text("status = 'reading'")
_SHORT = sa.text("short_micros IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("wanted_micros", sa.BigInteger(), nullable=True))
    op.add_column("batches", sa.Column("hold", sa.String(), nullable=True))
    op.add_column("batches", sa.Column("short_micros", sa.BigInteger(), nullable=True))
    _index("jobs_awaiting_credit", "jobs", ["account_id", "id"], _AWAITING_CREDIT)
    _index("batches_to_read", "batches", ["id"], _TO_READ)
    _index("batches_short", "batches", ["account_id"], _SHORT)


def downgrade() -> None:
    op.drop_index("batches_short", "batches")
    op.drop_index("batches_to_read", "batches")
    op.drop_index("jobs_awaiting_credit", "jobs")
    op.drop_column("batches", "short_micros")
    op.drop_column("batches", "hold")
    op.drop_column("jobs", "wanted_micros")


def _index(name: str, table: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
