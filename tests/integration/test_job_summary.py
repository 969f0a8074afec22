"""The summary of jobs: what it asks all the time is found by indexes of what is under way."""

from sqlalchemy import Connection, text

from producer.operations import job_summary
from shared.db import Database
from tests.integration import world


def test_unfinished_batches_are_not_looked_for_among_all_that_an_account_had(database: Database) -> None:
    asked = job_summary.under_way(world.open_account(database))

    def plan(connection: Connection) -> str:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        literal = str(asked.compile(connection, compile_kwargs={"literal_binds": True}))
        words = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        return " ".join(str(row) for row in connection.execute(text(f"{words} {literal}")))

    assert "batches_unfinished" in database.read_sync(plan)
