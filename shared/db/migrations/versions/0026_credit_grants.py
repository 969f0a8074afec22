"""Credit may expire, be refunded and adjusted, which the audit log tells of; thresholds of keys; the real end of credit
is told after an early one.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_BEFORE = """(kind = 'grant' AND from_purse = 'treasury' AND to_purse = 'available'
    AND subject_type IN ('operator', 'invoice'))
  OR (kind = 'hold' AND from_purse = 'available' AND to_purse = 'held' AND subject_type IN ('job', 'batch'))
  OR (kind = 'charge' AND from_purse = 'held' AND to_purse = 'revenue' AND subject_type = 'job')
  OR (kind = 'release' AND from_purse = 'held' AND to_purse = 'available' AND subject_type IN ('job', 'batch'))
  OR (kind = 'refund' AND from_purse = 'revenue' AND to_purse = 'available' AND subject_type = 'job')
  OR (kind = 'adjust' AND subject_type = 'transfer'
    AND ((from_purse = 'treasury' AND to_purse = 'available')
      OR (from_purse = 'available' AND to_purse = 'treasury')))"""
_KNOWN = _BEFORE.replace(
    "  OR (kind = 'adjust' AND subject_type = 'transfer'\n",
    """  OR (kind = 'expire' AND from_purse = 'available' AND to_purse = 'treasury' AND subject_type = 'grant')
  OR (kind = 'adjust' AND subject_type IN ('transfer', 'operator')
""",
)
_ONCE = (
    *(("hold", "job"), ("charge", "job"), ("release", "job")),
    *(("hold", "batch"), ("release", "batch"), ("grant", "invoice")),
)
_REFUNDS = sa.text("kind = 'refund' AND subject_type = 'job'")
_OPEN = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("end_armed", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("job_results", sa.Column("refunded_micros", sa.BigInteger(), nullable=False, server_default="0"))
    _make_tables()
    _know(_BEFORE, _KNOWN)
    _index("refunds_of_job", "transfers", ["subject_id"], _REFUNDS)


def _make_tables() -> None:
    op.create_table(
        "credit_grants",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("amount_micros", "expires_at", "created_at", "unspent_micros", "counted_micros")
        ),
        sa.Column("expired_micros", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("warn_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("unspent_micros >= 0 AND expired_micros >= 0", name="grant_not_negative"),
        sa.CheckConstraint("unspent_micros + expired_micros <= amount_micros", name="grant_within_amount"),
    )
    _index("grants_due", "credit_grants", ["due_at"], _OPEN)
    _index("grants_of_account", "credit_grants", ["account_id", "expires_at"], _OPEN)
    op.create_table(
        "key_thresholds",
        sa.Column("id", sa.String(), primary_key=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("key_id", "account_id", "kind")),
        sa.Column("level_micros", sa.BigInteger(), nullable=False),
        sa.Column("armed", sa.Boolean(), nullable=False),
        sa.Column("period", sa.String(), nullable=True),
    )
    op.create_index("ix_key_thresholds_key_id", "key_thresholds", ["key_id"])
    op.create_table(
        "audit_log",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("operator", "action")),
        sa.Column("account_id", sa.String(), nullable=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("subject_type", "subject_id")),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("reference", sa.String(), nullable=True, unique=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
    )
    op.create_index("audit_of_account", "audit_log", ["account_id", "id"])


def _index(name: str, table: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def _know(before: str, known: str) -> None:
    """Replace the constraint; a table that lacks it, since a row of it did not fit (0013), stays as it is."""
    there = sa.inspect(op.get_bind()).get_check_constraints("transfers")
    if "transfer_known" not in {constraint["name"] for constraint in there}:
        return
    with op.batch_alter_table("transfers", copy_from=_transfers(before)) as changed:
        changed.drop_constraint("transfer_known", type_="check")
        changed.create_check_constraint("transfer_known", known)


def _transfers(known: str) -> sa.Table:
    """The table as it is: SQLite makes it anew, and tells its checks and the conditions of its indexes badly."""
    table = sa.Table(
        "transfers",
        sa.MetaData(),
        sa.Column("id", sa.String(), primary_key=True, nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("account_id", "kind", "from_purse", "to_purse")),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("subject_type", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_micros > 0", name="amount_positive"),
        sa.CheckConstraint(known, name="transfer_known"),
    )
    sa.Index("transfers_of_account", table.c.account_id, table.c.id)
    for kind, subject in _ONCE:
        once = sa.text(f"kind = '{kind}' AND subject_type = '{subject}'")
        sa.Index(f"one_{kind}_a_{subject}", table.c.subject_id, unique=True, sqlite_where=once, postgresql_where=once)
    _more_indexes(table)
    return table


def _more_indexes(table: sa.Table) -> None:
    """Those that are there beside these, whichever migration made them."""
    known = {index.name for index in table.indexes}
    for index in sa.inspect(op.get_bind()).get_indexes(table.name):
        if index["name"] not in known:
            where = index.get("dialect_options", {}).get("sqlite_where")
            columns = [table.c[str(name)] for name in index["column_names"]]
            condition = None if where is None else sa.text(str(where))
            sa.Index(index["name"], *columns, unique=bool(index["unique"]), sqlite_where=condition)


def downgrade() -> None:
    op.drop_index("refunds_of_job", "transfers")
    _know(_KNOWN, _BEFORE)
    for table in ("audit_log", "key_thresholds", "credit_grants"):
        op.drop_table(table)
    op.drop_column("job_results", "refunded_micros")
    op.drop_column("accounts", "end_armed")
