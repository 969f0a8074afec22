"""Only the transfers that there are: kinds, purses and subjects; an event knows how many deliveries it was given."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_KNOWN = """(kind = 'grant' AND from_purse = 'treasury' AND to_purse = 'available'
    AND subject_type IN ('operator', 'invoice'))
  OR (kind = 'hold' AND from_purse = 'available' AND to_purse = 'held' AND subject_type IN ('job', 'batch'))
  OR (kind = 'charge' AND from_purse = 'held' AND to_purse = 'revenue' AND subject_type = 'job')
  OR (kind = 'release' AND from_purse = 'held' AND to_purse = 'available' AND subject_type IN ('job', 'batch'))
  OR (kind = 'refund' AND from_purse = 'revenue' AND to_purse = 'available' AND subject_type = 'job')
  OR (kind = 'adjust' AND subject_type = 'transfer'
    AND ((from_purse = 'treasury' AND to_purse = 'available')
      OR (from_purse = 'available' AND to_purse = 'treasury')))"""
#: What there is but once of each subject.
_ONCE = (
    *(("hold", "job"), ("charge", "job"), ("release", "job")),
    *(("hold", "batch"), ("release", "batch"), ("grant", "invoice")),
)
#: Two days, in microseconds: by then no process of the version before removes rows of files any more.
_LATER = 2 * 86_400 * 1_000_000


def upgrade() -> None:
    op.add_column("events", sa.Column("deliveries", sa.Integer(), nullable=True))
    bind = op.get_bind()
    # Rows of files that batches made have been removed until now, without a trace.
    newest = bind.execute(sa.text("SELECT max(created_at) FROM batches")).scalar()
    if newest is not None:
        mark = sa.text("INSERT INTO counters (name, labels, shard, value) VALUES ('forgotten', :labels, 0, :mark)")
        bind.execute(mark, {"labels": '{"kind":"files"}', "mark": newest + _LATER})
    # What is there and does not fit stays for `fusionai verify` to name, and so does a table without the constraint.
    if bind.execute(sa.text(f"SELECT count(*) FROM transfers WHERE NOT ({_KNOWN})")).scalar():
        return
    with op.batch_alter_table("transfers", copy_from=_transfers()) as changed:
        changed.create_check_constraint("transfer_known", _KNOWN)


def _transfers() -> sa.Table:
    """The table as it is: SQLite makes it anew, and tells neither the conditions of indexes nor the checks."""
    table = sa.Table(
        "transfers",
        sa.MetaData(),
        sa.Column("id", sa.String(), primary_key=True, nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("from_purse", sa.String(), nullable=False),
        sa.Column("to_purse", sa.String(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("subject_type", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_micros > 0", name="amount_positive"),
    )
    sa.Index("transfers_of_account", table.c.account_id, table.c.id)
    for kind, subject in _ONCE:
        once = sa.text(f"kind = '{kind}' AND subject_type = '{subject}'")
        sa.Index(f"one_{kind}_a_{subject}", table.c.subject_id, unique=True, sqlite_where=once, postgresql_where=once)
    return table


def downgrade() -> None:
    known = _transfers()
    known.append_constraint(sa.CheckConstraint(_KNOWN, name="transfer_known"))
    with op.batch_alter_table("transfers", copy_from=known) as changed:
        changed.drop_constraint("transfer_known", type_="check")
    op.drop_column("events", "deliveries")
