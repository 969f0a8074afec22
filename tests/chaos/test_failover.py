"""PostgreSQL takes no writes for a while, then dies, and a standby that lacks its last commits takes its place."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from shared import clock
from shared.db import Database
from shared.db.migrations import migrate
from shared.verify import verify_all
from tests.chaos.test_restore import fusionai
from tests.harness import HASTY, Account, Stack, chat
from tests.servers import RedisServer
from tests.standby import Pair, Standby, run, several

#: Jobs whose calls are under way when the server dies.
SLOW = 6


def post(stack: Stack, account: Account, content: str) -> httpx.Response:
    """A job, whatever comes of it."""
    headers = {"Authorization": f"Bearer {account.live_key}"}
    url = stack.url("web") + "/v1/jobs"
    return httpx.post(url, json=chat(content), headers=headers, timeout=40, trust_env=False)


def accepted(stack: Stack, account: Account, content: str) -> str:
    """A job that was accepted, sent until it was; what refuses it says why."""

    def tried() -> str:
        answer = post(stack, account, content)
        if answer.status_code == 202:
            return str(answer.json()["id"])
        assert answer.status_code == 503 and "the database is unavailable" in answer.text, answer.text
        return ""

    return stack.until(tried, what="a job that is accepted")


def seen(standby: Standby, query: str) -> Any:
    """What the standby answers."""
    database = Database(f"postgresql://postgres@/postgres?host={standby.host}", threads=1)
    try:
        return database.read_sync(lambda connection: connection.execute(text(query)).scalar_one())
    finally:
        database.close()


def take_writes(pair: Pair, yes: bool) -> None:
    """Let the primary take writes, or refuse them, in sessions that are open as well."""
    change = "RESET default_transaction_read_only" if yes else "SET default_transaction_read_only = on"
    for command in (f"ALTER SYSTEM {change}", "SELECT pg_reload_conf()"):
        run("psql", "-h", pair.primary.host, "-U", "postgres", "-qc", command)


@pytest.mark.chaos
@pytest.mark.chaos_short
def test_a_server_without_writes_and_a_standby_without_the_last_commits(tmp_path: Path) -> None:
    redis = RedisServer().start()
    try:
        with Pair() as pair:
            url = several(pair.primary.host, pair.standby.host)
            migrate(url)
            with Stack(tmp_path, url, redis, **HASTY) as stack:
                account = stack.open_account()
                done = stack.submit(account, [chat(f"quick {n}") for n in range(5)])
                without_writes(stack, account, pair)
                lost = fail_over(stack, account, pair)
                check(stack, account, done, lost)
    finally:
        redis.stop()


def without_writes(stack: Stack, account: Account, pair: Pair) -> None:
    take_writes(pair, False)
    answer = post(stack, account, "refused")
    assert answer.status_code == 503 and "the database is unavailable; retry later" in answer.text
    assert int(answer.headers["retry-after"]) > 0
    take_writes(pair, True)
    id = accepted(stack, account, "accepted again")
    stack.await_all_terminal([id])


def fail_over(stack: Stack, account: Account, pair: Pair) -> list[str]:
    """The jobs that are gone with the server, which had accepted them."""
    stack.quiet()
    stack.script({"fault": {"latency_seconds": 3}, "contains": "slow"})
    slow = stack.submit(account, [chat(f"slow {n}") for n in range(SLOW)])
    stack.until(lambda: stack.calls("slow") == SLOW, what="the calls")
    running = "SELECT count(*) FROM jobs WHERE status = 'running'"
    stack.until(lambda: seen(pair.standby, running) == SLOW, what="the standby's copy")
    pair.standby.cut_off()
    moment = clock.utc(clock.now_micros()).strftime("%Y-%m-%dT%H:%M:%S")
    lost = stack.submit(account, [chat(f"lost {n}") for n in range(3)])
    stack.await_all_terminal(lost)
    pair.primary.kill()
    pair.standby.promote()
    accepted(stack, account, "after")
    assert "Restored to" in fusionai(stack, "restored", "--yes", "--moment", moment)
    stack.await_all_terminal(slow)
    return lost


def check(stack: Stack, account: Account, done: list[str], lost: list[str]) -> None:
    """Everything that is there ends, by processes that came back by themselves; what is gone is a 404."""
    stack.ready()
    id = accepted(stack, account, "and after that")
    stack.end_claims()
    stack.quiet()
    headers = {"Authorization": f"Bearer {account.live_key}"}
    with httpx.Client(headers=headers, base_url=stack.url("web"), trust_env=False, timeout=30) as client:
        assert {client.get(f"/v1/jobs/{one}").status_code for one in lost} == {404}
        assert {client.get(f"/v1/jobs/{one}").json()["status"] for one in [*done, id]} == {"succeeded"}
    assert {row.status for row in stack.rows("SELECT status FROM jobs")} == {"succeeded"}
    assert [str(one) for one in verify_all(stack.database, at_rest=True)] == []
    assert stack.inbox.violations == []
