"""A worker that cannot start, such as on a database without tables: it ends, and takes no doorbells for nobody.

One whose database is away waits for it: tests/integration/test_database_away.py, and tests/cluster.
"""

import os
from pathlib import Path
from typing import Any, cast

import pytest
from celery import signals
from celery.utils.dispatch import Signal

from shared.environment import inherited
from tests import starting
from tests.servers import RedisServer
from workers import app
from workers.process.consumer import Consumer
from workers.process.runtime import LEASE_OVER


def test_on_a_database_without_tables_it_ends_at_once_and_says_why(tmp_path: Path, redis_server: RedisServer) -> None:
    env = inherited() | {
        "FUSIONAI_DATABASE_URL": f"sqlite:///{tmp_path / 'empty.sqlite3'}",
        "FUSIONAI_STATE_DIRECTORY": str(tmp_path),
        "FUSIONAI_BROKER_URL": redis_server.url.replace("/0", "/8"),
        "FUSIONAI_REDIS_URL": redis_server.url,
    }
    with (tmp_path / "log").open("wb") as log:
        process = starting.start("workers.app", env, log)
    try:
        assert process.wait(60) == 1, (tmp_path / "log").read_text()
    finally:
        process.kill()
    said = (tmp_path / "log").read_text()
    assert "The database has no tables yet" in said and "Traceback" not in said


def test_one_that_fails_to_start_ends_and_does_not_go_on_as_half_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery logs an exception of a receiver, and goes on."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(signals, "worker_init", Signal(name="worker_init"))
    for name in ("worker_ready", "worker_shutting_down", "worker_shutdown"):
        monkeypatch.setattr(signals, name, Signal(name=name))
    app._follow_celery(cast(Any, Broken()), Consumer())
    signals.worker_init.send(sender=None)
    assert ended == [LEASE_OVER]


class Broken:
    """A runtime that cannot be made."""

    def start(self) -> None:
        raise OSError("no threads are left")
