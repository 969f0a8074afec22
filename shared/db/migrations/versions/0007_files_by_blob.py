"""A file is found by the name of its bytes, so that retention can tell those that no row names."""

from collections.abc import Sequence

from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("files_by_blob", "files", ["blob"])


def downgrade() -> None:
    op.drop_index("files_by_blob", "files")
