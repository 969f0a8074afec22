"""All is lost and a backup is restored: what was unfinished runs, what came later is gone, no number comes twice."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from producer import cli
from shared.money import purchases
from shared.settings import settings
from shared.verify import verify_all
from tests.chaos.conftest import Stacks
from tests.harness import HASTY, Account, Stack, chat, line
from tests.marks import SHORT
from tests.receiver import Answer
from tests.standby import place_of, run

#: Jobs and lines of the kind that are under way when the backup is made.
SLOW, LINES = 12, 20


def fusionai(stack: Stack, *words: str) -> str:
    """What the command prints, with the settings of the stack."""
    usual = os.umask(0o077)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in stack.environment.items():
                patch.setenv(name, value)
            settings.cache_clear()
            done = CliRunner().invoke(cli.main, [*words])
    finally:
        settings.cache_clear()
        os.umask(usual)
    assert done.exit_code == 0, (done.output, done.exc_info)
    return str(done.output)


class OnSqlite:
    """`fusionai backup`, and `fusionai restore` where nothing is left."""

    def back_up(self, stack: Stack, to: Path) -> None:
        assert "It leads back to" in fusionai(stack, "backup", str(to))

    def lose(self, stack: Stack) -> None:
        for path in stack.directory.glob("chaos.sqlite3*"):
            path.unlink()
        shutil.rmtree(stack.directory / "files")

    def restore(self, stack: Stack, backup: Path) -> None:
        assert "Restored to" in fusionai(stack, "restore", str(backup))


class OnPostgresql:
    """As deploy/cluster.md has it: files, `pg_dump`, files; `pg_restore`, files, `fusionai restored`."""

    def back_up(self, stack: Stack, to: Path) -> None:
        host, name = place_of(stack.database_url)
        to.mkdir()
        _copy_new(stack.directory / "files", to / "files")
        run("pg_dump", "-h", host, "-U", "postgres", "-Fc", name, output=to / "database")
        _copy_new(stack.directory / "files", to / "files")

    def lose(self, stack: Stack) -> None:
        host, name = place_of(stack.database_url)
        run("dropdb", "-h", host, "-U", "postgres", "--force", name)
        shutil.rmtree(stack.directory / "files")

    def restore(self, stack: Stack, backup: Path) -> None:
        host, name = place_of(stack.database_url)
        run("createdb", "-h", host, "-U", "postgres", name)
        run("pg_restore", "-h", host, "-U", "postgres", "-d", name, str(backup / "database"))
        _copy_new(backup / "files", stack.directory / "files")
        fusionai(stack, "migrate")
        assert "Restored to" in fusionai(stack, "restored", "--yes")


def _copy_new(source: Path, to: Path) -> None:
    """As `rsync -a --ignore-existing` would."""
    for path in source.rglob("*"):
        at = to / path.relative_to(source)
        if path.is_file() and not at.exists() and ".parts" not in path.parts:
            at.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                shutil.copy2(path, at)


@dataclass
class World:
    """An account at work, and what it was told."""

    stack: Stack
    account: Account
    done: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    batch: str = ""
    file: str = ""
    invoices: list[int] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        """A call, whatever its answer; `key`: an Idempotency-Key."""
        headers = {"Authorization": f"Bearer {self.account.live_key}"}
        headers |= {"Idempotency-Key": key} if key else {}
        url = self.stack.url("web") + path
        return httpx.request(method, url, json=body, headers=headers, timeout=30, trust_env=False)

    def buy(self) -> str:
        """A purchase; its number is noted."""
        made = self.ask("POST", "/v1/invoices", {"credits": 100}).json()
        self.invoices.append(made["number"])
        return str(made["id"])

    def pay(self, id: str) -> None:
        self.stack.database.write_sync(purchases.pay, id)

    def numbers(self) -> dict[tuple[bool, int], set[str]]:
        """The events that came under each number."""
        found: dict[tuple[bool, int], set[str]] = {}
        for event in self.stack.inbox.events():
            found.setdefault((event.get("test", False), event["sequence"]), set()).add(event["id"])
        return found


def work(stack: Stack) -> World:
    """Everything is under way: jobs and a batch run, deliveries are not taken, an invoice is open, a file is kept."""
    world = World(stack, stack.open_account())
    stack.script({"fault": {"latency_seconds": 2.5}, "contains": "slow"})
    stack.inbox.answer = lambda event_id, times: Answer(503)
    world.done = stack.submit(world.account, [chat(f"quick {n}") for n in range(5)])
    world.done.append(world.ask("POST", "/v1/jobs", chat("once"), key="before").json()["id"])
    stack.await_all_terminal(world.done)
    world.file = stack.call(world.account.live_key, "POST", "/v1/files", files={"file": ("a.jsonl", b"{}\n")},
                            data={"purpose": "batch"})["id"]  # fmt: skip
    world.buy()
    world.slow = stack.submit(world.account, [chat(f"slow {n}") for n in range(SLOW)])
    world.batch = stack.submit_batch(world.account, [line(f"slow line {n}") for n in range(LINES)], upload=True)
    stack.until(lambda: stack.calls("slow") >= SLOW, what="the calls")
    return world


def go_on(world: World) -> str:
    """What the backup does not know: all of it ends, and more is begun and done; the last event's id."""
    stack = world.stack
    stack.inbox.answer = lambda event_id, times: Answer()
    world.lost = stack.submit(world.account, [chat(f"later {n}") for n in range(4)])
    world.lost.append(world.ask("POST", "/v1/jobs", chat("later"), key="after").json()["id"])
    world.pay(world.buy())
    assert world.ask("DELETE", f"/v1/files/{world.file}").status_code == 200
    stack.end_claims()
    stack.quiet()
    last = world.ask("GET", "/v1/events?order=desc&limit=1").json()["data"][0]
    assert world.numbers() and all(len(ids) == 1 for ids in world.numbers().values())
    stack.take_down("worker")
    world.lost += stack.submit(world.account, [chat("nobody hears of it")])  # its doorbell stays in the broker
    return str(last["id"])


def end_all(stack: Stack) -> None:
    for name in stack.processes:
        stack.take_down(name)
    stack.database.engine.dispose()


@pytest.mark.parametrize(
    ("kind", "redis"), [("sqlite", "stale"), ("postgresql", "stale"), pytest.param("sqlite", "empty", marks=SHORT)]
)
def test_everything_is_lost_and_restored(stacks: Stacks, tmp_path: Path, kind: str, redis: str) -> None:
    way: Any = {"sqlite": OnSqlite, "postgresql": OnPostgresql}[kind]()
    with stacks.own(kind, **HASTY) as stack:
        world = work(stack)
        way.back_up(stack, tmp_path / "backup")
        last = go_on(world)
        calls, arrivals = stack.calls("slow"), dict(stack.inbox.arrivals)
        end_all(stack)
        way.lose(stack)
        if redis == "empty":
            stack.redis.flush()
        way.restore(stack, tmp_path / "backup")
        pending = {row.event_id for row in stack.rows("SELECT event_id FROM deliveries WHERE status = 'pending'")}
        for name in list(stack.processes):
            stack.start(name)
        stack.ready()
        stack.end_claims()
        check_unfinished(world, calls)
        check_undone(world, last)
        check_told(world, pending, arrivals)
        check_at_rest(world)


def check_unfinished(world: World, calls: int) -> None:
    """What the backup had unfinished has run, at the price of other calls of the provider."""
    stack = world.stack
    stack.await_all_terminal(world.slow)
    assert {stack.job(id).status for id in world.slow} == {"succeeded"}
    assert stack.await_batch(world.batch).status == "completed"
    assert stack.calls("slow") > calls
    assert {stack.job(id).status for id in world.done} == {"succeeded"}


def check_undone(world: World, last: str) -> None:
    """What came after it is not there: 404; sent again it is made anew, and what was deleted is back."""
    assert {world.ask("GET", f"/v1/jobs/{id}").status_code for id in world.lost} == {404}
    assert world.ask("POST", "/v1/jobs", chat("once"), key="before").json()["id"] == world.done[-1]
    again = world.ask("POST", "/v1/jobs", chat("later"), key="after")
    assert again.status_code == 202 and again.json()["id"] not in world.lost
    world.stack.await_all_terminal([again.json()["id"]])
    assert world.ask("GET", f"/v1/files/{world.file}/content").content == b"{}\n"
    told = world.ask("GET", f"/v1/events?after={last}&limit=100")
    assert told.status_code == 200, told.text
    about = {event["data"].get("job", {}).get("id") for event in told.json()["data"]}
    assert about >= {*world.slow, again.json()["id"]}, "a reader goes on with what has happened since"
    world.pay(world.buy())
    assert len(set(world.invoices)) == 3 and world.invoices == sorted(world.invoices)


def check_told(world: World, pending: set[str], arrivals: Mapping[str, int]) -> None:
    """What the backup had not sent comes again, under the same ids; no number stands for two events."""
    stack = world.stack
    stack.quiet()
    assert len(pending) > 5
    assert all(stack.inbox.arrivals[id] > arrivals[id] for id in pending if id in arrivals)
    assert [ids for ids in world.numbers().values() if len(ids) > 1] == []
    assert stack.inbox.violations == []


def check_at_rest(world: World) -> None:
    stack = world.stack
    own, before = settings(), settings().state_directory
    own.state_directory = stack.directory
    try:
        violations = verify_all(stack.database, stored=True, at_rest=True)
    finally:
        own.state_directory = before
    assert [str(one) for one in violations] == []
