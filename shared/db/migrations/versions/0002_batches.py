"""Files, batches, usage by day, invoices; counters in shards."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

UNFINISHED = sa.text("status IN ('validating', 'in_progress', 'finalizing', 'cancelling')")


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("stopped", sa.String(), nullable=True),
        sa.Column("endpoint", sa.String(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("input_file_id", sa.String(), nullable=False),
        sa.Column("output_file_id", sa.String(), nullable=True),
        sa.Column("error_file_id", sa.String(), nullable=True),
        sa.Column("completion_window", sa.String(), nullable=False),
        sa.Column("errors", sa.Text(), nullable=True),
        sa.Column("labels", sa.Text(), nullable=True),
        sa.Column("notify_each", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("output_expires_seconds", sa.BigInteger(), nullable=True),
        sa.Column("plan", sa.String(), nullable=True),
        sa.Column("total", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("released", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cursor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("succeeded", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cancelled", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("expired", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bound_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("released_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("resolved_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("charged_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("in_progress_at", sa.BigInteger(), nullable=True),
        sa.Column("finalizing_at", sa.BigInteger(), nullable=True),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.Column("failed_at", sa.BigInteger(), nullable=True),
        sa.Column("expired_at", sa.BigInteger(), nullable=True),
        sa.Column("cancelling_at", sa.BigInteger(), nullable=True),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("NOT test OR bound_micros = 0", name="test_batches_hold_nothing"),
        sa.CheckConstraint("released_micros <= bound_micros", name="released_within_hold"),
        sa.CheckConstraint("resolved_micros <= released_micros", name="resolved_within_released"),
        sa.CheckConstraint("succeeded + failed + cancelled + expired <= total", name="counts_within_total"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("batches", schema=None) as batch_op:
        batch_op.create_index("batches_of_account", ["account_id", "id"], unique=False)
        batch_op.create_index(
            "batches_unfinished",
            ["id"],
            unique=False,
            sqlite_where=UNFINISHED,
            postgresql_where=UNFINISHED,
        )

    op.create_table(
        "daily_usage",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("images", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("charged_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("account_id", "day", "test", "model"),
    )
    op.create_table(
        "files",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("filename", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("blob", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.create_index("files_expiring", ["expires_at"], unique=False)
        batch_op.create_index("files_of_account", ["account_id", "id"], unique=False)

    op.create_table(
        "invoices",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=True),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("total_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("paid_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
    )
    with op.batch_alter_table("invoices", schema=None) as batch_op:
        batch_op.create_index("invoices_of_account", ["account_id", "id"], unique=False)
        batch_op.create_index(
            "one_statement_a_batch",
            ["batch_id"],
            unique=True,
            sqlite_where=sa.text("batch_id IS NOT NULL"),
            postgresql_where=sa.text("batch_id IS NOT NULL"),
        )

    _add_up_usage()
    op.rename_table("counters", "counters_before")
    op.create_table(
        "counters",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("labels", sa.String(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("value", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", "shard", name="counters_key"),
    )
    op.execute("INSERT INTO counters (name, labels, shard, value) SELECT name, '', 0, value FROM counters_before")
    op.drop_table("counters_before")
    op.add_column("jobs", sa.Column("custom_id", sa.String(), nullable=True))
    op.create_index(
        "jobs_of_batch",
        "jobs",
        ["batch_id", "id"],
        unique=False,
        sqlite_where=sa.text("batch_id IS NOT NULL"),
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )

    with op.batch_alter_table("transfers", schema=None) as batch_op:
        batch_op.create_index(
            "one_release_a_batch",
            ["subject_id"],
            unique=True,
            sqlite_where=sa.text("kind = 'release' AND subject_type = 'batch'"),
            postgresql_where=sa.text("kind = 'release' AND subject_type = 'batch'"),
        )


def _add_up_usage() -> None:
    """What the jobs before this revision used, by the day they were settled."""
    day = "to_char(to_timestamp(j.finished_at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    if op.get_bind().dialect.name == "sqlite":
        day = "strftime('%Y-%m-%d', j.finished_at / 1000000, 'unixepoch')"
    op.execute(
        f"""INSERT INTO daily_usage
              (account_id, day, test, model, jobs, prompt_tokens, completion_tokens, images, charged_micros)
            SELECT j.account_id, {day}, j.test, coalesce(r.model, j.model), count(*), sum(r.prompt_tokens),
              sum(r.completion_tokens), sum(r.images), sum(r.charged_micros)
            FROM jobs j JOIN job_results r ON r.job_id = j.id WHERE j.status = 'succeeded' GROUP BY 1, 2, 3, 4"""
    )


def downgrade() -> None:
    with op.batch_alter_table("transfers", schema=None) as batch_op:
        batch_op.drop_index(
            "one_release_a_batch",
            sqlite_where=sa.text("kind = 'release' AND subject_type = 'batch'"),
            postgresql_where=sa.text("kind = 'release' AND subject_type = 'batch'"),
        )

    op.drop_index("jobs_of_batch", "jobs")
    op.drop_column("jobs", "custom_id")
    op.rename_table("counters", "counters_after")
    op.create_table(
        "counters",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name", name="counters_name"),
    )
    op.execute("INSERT INTO counters (name, value) SELECT name, sum(value) FROM counters_after GROUP BY name")
    op.drop_table("counters_after")

    with op.batch_alter_table("invoices", schema=None) as batch_op:
        batch_op.drop_index(
            "one_statement_a_batch",
            sqlite_where=sa.text("batch_id IS NOT NULL"),
            postgresql_where=sa.text("batch_id IS NOT NULL"),
        )
        batch_op.drop_index("invoices_of_account")

    op.drop_table("invoices")
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.drop_index("files_of_account")
        batch_op.drop_index("files_expiring")

    op.drop_table("files")
    op.drop_table("daily_usage")
    with op.batch_alter_table("batches", schema=None) as batch_op:
        batch_op.drop_index(
            "batches_unfinished",
            sqlite_where=UNFINISHED,
            postgresql_where=UNFINISHED,
        )
        batch_op.drop_index("batches_of_account")

    op.drop_table("batches")
