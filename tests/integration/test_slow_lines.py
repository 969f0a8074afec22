"""Lines that are linked to entities of a data hub that is slow: the batches of others go on meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared import accounts
from shared.db import Database
from shared.entities import resolving
from shared.settings import Settings
from tests.conditions import await_condition
from tests.integration import batch_world, world
from tests.integration.batch_world import chat, files_of_its_own, new_batch
from tests.slow_hub import SlowHub
from workers.batches.scheduler import BatchScheduler

__all__ = ["files_of_its_own"]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowHub]:
    made = SlowHub()
    given: dict[str, Any] = {"data_hub_url": made.url, "data_hub_seconds": 5, "data_hub_allow_loopback": True}
    monkeypatch.setattr(resolving, "settings", lambda: Settings(**given))
    yield made
    made.close()


def test_a_batch_that_waits_for_the_hub_holds_no_other_up(database: Database, slow: SlowHub) -> None:
    first, second = sorted((world.open_account(database) for _ in range(2)), key=lambda one: one.account_id)
    database.write_sync(accounts.set_linked_context, first.account_id, True)
    linked = [chat("a", linked_context=[{"type": "T", "id": "held-1"}])]
    waiting, other = new_batch(database, first, linked), new_batch(database, second, [chat("b")])
    process = BatchScheduler(database, world.RecordedBell())

    def runs_until(id: str, status: str) -> None:
        def is_there() -> bool:
            process.run_once()
            return bool(batch_world.row(database, id)["status"] == status)

        await_condition(is_there, what=f"{id} {status}")

    runs_until(other, "in_progress")
    assert batch_world.row(database, waiting)["status"] == "validating"
    slow.release.set()
    runs_until(waiting, "in_progress")
    assert slow.asked == ["held-1"], "it waited for the answer to the only question"
    process.close()
