"""A worker that cannot start, since its database is not what it should be: it ends, and takes no doorbells for nobody.

One whose database is away waits for it: tests/integration/test_database_away.py, and tests/cluster.
"""

import sqlite3
from pathlib import Path

from shared.environment import inherited
from tests import starting
from tests.servers import RedisServer, migrated_sqlite
from workers.process.runtime import LEASE_OVER


def test_on_a_database_without_a_table_it_ends_at_once_and_says_why(tmp_path: Path, redis_server: RedisServer) -> None:
    url = migrated_sqlite(tmp_path / "damaged.sqlite3")
    with sqlite3.connect(tmp_path / "damaged.sqlite3") as connection:
        connection.execute("DROP TABLE workers")
    env = inherited() | {
        "FUSIONAI_DATABASE_URL": url,
        "FUSIONAI_STATE_DIRECTORY": str(tmp_path),
        "FUSIONAI_BROKER_URL": redis_server.url.replace("/0", "/8"),
        "FUSIONAI_REDIS_URL": redis_server.url,
    }
    with (tmp_path / "log").open("wb") as log:
        process = starting.start("workers.app", env, log)
    try:
        assert process.wait(60) == LEASE_OVER, (tmp_path / "log").read_text()
    finally:
        process.kill()
    said = (tmp_path / "log").read_text()
    assert "the worker cannot start: OperationalError" in said and "Traceback" not in said
