"""Errors of a batch, grouped, on both databases."""

from typing import Any

from producer.operations import batch_errors
from shared.db import Database
from shared.db import models as m
from shared.jobs.outcomes import Ending
from tests import contract
from tests.integration import world


def test_lines_are_grouped_by_reason_status_and_what_was_said(database: Database) -> None:
    holder = world.open_account(database, 100_000)
    ids = world.queued(database, holder, 6, type="embedding")
    leased = {one.id: one for one in world.take(database, world.new_worker(database), ids)}

    def fail(id: str, message: str, status: int, reason: str) -> None:
        error = {"message": message, "type": "upstream_error", "code": status, "reason": reason}
        world.settle(database, Ending(id, leased[id].epoch, "failed", error=error, attempts=[]))

    fail(ids[0], "rate limit: 31 requests, see req_0123456789abcdef", 429, "rate_limit_exceeded")
    fail(ids[1], "rate limit: 45 requests, see req_fedcba9876543210", 429, "rate_limit_exceeded")
    fail(ids[2], "the prompt 'boo' was refused", 400, "invalid_request")
    fail(ids[3], "the prompt 'hoo' was refused", 400, "invalid_request")
    fail(ids[4], "no such model", 400, "invalid_request")
    for number, id in enumerate(ids):
        world.change(database, id, batch_id="batch_1", custom_id=f"line-{number}")
    batch = {"id": "batch_1", "stopped": None, "total": 6, "released": 6}
    found: Any = database.read_sync(batch_errors.read, batch)
    contract.check_object("BatchErrors", found)
    groups = [
        (one["reason"], one["count"], one["example"]["custom_id"], one["retry_may_help"]) for one in found["data"]
    ]
    assert groups == [
        ("rate_limit_exceeded", 2, "line-0", True),
        ("invalid_request", 2, "line-2", False),
        ("invalid_request", 1, "line-4", False),
    ]
    assert found["data"][0]["message"] == "rate limit: 31 requests, see req_0123456789abcdef"
    assert (found["total"], found["others"]) == (5, 0)
    assert len(world.rows(database, m.jobs)) == 6
