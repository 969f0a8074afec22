"""A whole stack of real processes for a test: it submits as a client would, kills what it likes, checks everything.

    with Stack(directory, database_url, redis) as stack:
        account = stack.open_account()
        ids = stack.submit(account, [chat("one"), chat("two")])
        stack.kill("worker")
        stack.quiet()
        stack.check()

What dies is started again whenever the test waits. All processes are started from the main thread, and die with it.
"""

import contextlib
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import orjson
import redis as redis_py
from sqlalchemy import text

from shared import accounts, clock, key_limits
from shared.db import Database
from shared.db.models.batches import TO_READ, UNFINISHED
from shared.money import ledger
from shared.money.budgets import BUDGET_PERIODS
from shared.providers import states
from shared.settings import settings
from tests import starting
from tests.chaos.audit import audit
from tests.chaos.audit_batches import leftovers
from tests.chaos.inbox import TEST, Inbox
from tests.chaos.processes import Processes, prefixed
from tests.servers import RedisServer, free_port
from workers.simulator.server import SimulatorProcess

#: Short enough that a dead worker costs a test seconds; a beat may be late by five of its pauses.
SHORT = {
    "LEASE_SECONDS": "3",
    "BEAT_SECONDS": "0.5",
    "RETRY_BASE_SECONDS": "0.05",
    "PAUSE_SECONDS": "0.1",
    "PAUSE_MOST_SECONDS": "1",
    "WEBHOOK_PACE": "0.01",
    "STOP_NOTICE_SECONDS": "0.1",
}
#: Half of that lease: the dead are found out sooner; for tests in which one that is late may be taken for dead too.
HASTY = {"LEASE_SECONDS": "1.5", "BEAT_SECONDS": "0.25", "SWEEP_SECONDS": "0.25"}
#: What a child may take from the environment of the test: nothing that could name a real provider.
_INHERITED = ("PATH", "PYTHONPATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Account:
    """A customer with credit, and a webhook that gets every event."""

    id: str
    live_key: str
    test_key: str


def chat(content: str, **more: Any) -> dict[str, Any]:
    """A small chat job."""
    message = {"role": "user", "content": content}
    return {"type": "chat.completion", "model": "gpt-3.5-turbo", "messages": [message], "max_tokens": 16, **more}


def line(custom_id: str, content: str = "", **more: Any) -> dict[str, Any]:
    """A line of a batch: the same small chat job, of its custom_id or of another text."""
    body = chat(content or custom_id, **more)
    del body["type"]
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


class Stack(Processes):
    """The processes, and a client of theirs. `names`: which to start (`web`, `web2`, `worker`, `sweeper`, …)."""

    def __init__(
        self,
        directory: Path,
        database_url: str,
        redis: RedisServer,
        *,
        names: Sequence[str] = ("web", "worker", "batches", "sweeper"),
        latency: float = 0.0,
        address: str = "127.0.0.1",
        environment: Mapping[str, str] | None = None,
        skews: Mapping[str, int] | None = None,
        sources: Mapping[str, Path] | None = None,
        **given: str,
    ) -> None:
        """`address`: of the simulator and the receiver of webhooks. What makes some processes differ, by their names:

        `skews`: by how many microseconds the clock of its host is wrong. `sources`: where another version is.
        """
        super().__init__(directory, database_url)
        self.redis = redis
        self.database_url = database_url
        self.database = Database(database_url)
        self.inbox = Inbox(address)
        self.accepted: list[str] = []
        #: The batches that clients were given, and the custom_ids that their files must have.
        self.submitted: dict[str, list[str]] = {}
        self.simulator = SimulatorProcess(latency=latency, host=address)
        self._names = names
        self._skews = skews or {}
        self._sources = sources or {}
        self._urls: dict[str, str] = {}
        self._http = httpx.Client(timeout=30, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
        self._env = {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
            "FUSIONAI_ENVIRONMENT": "embedded",
            "FUSIONAI_STATE_DIRECTORY": str(directory),
            "FUSIONAI_DATABASE_URL": database_url,
            "FUSIONAI_BROKER_URL": redis.url,
            "FUSIONAI_REDIS_URL": redis.url,
            "FUSIONAI_KEY_SECRET": settings().key_secret,
            "FUSIONAI_SIMULATOR_URL": self.simulator.url,
            "FUSIONAI_WEBHOOKS_ALLOW_LOOPBACK": "true",
            "PYTHONUNBUFFERED": "1",
            **prefixed(SHORT | given),
            **(environment or {}),
        }

    def __enter__(self) -> Self:
        self.inbox.__enter__()
        try:
            for name in self._names:
                self.start(name)
            self.ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()
        self.simulator.stop()
        self.inbox.__exit__(None, None, None)
        self._http.close()
        self.database.close()

    def _environment(self, name: str) -> dict[str, str]:
        env = self._env | {"FUSIONAI_CRASH_LOG": str(self.log(name, "crash"))}
        if skew := self._skews.get(name):
            env["HOST_SKEW_MICROS"] = str(skew)
            env["PYTHONPATH"] = starting.with_host(env.get("PYTHONPATH", ""))
        if source := self._sources.get(name):
            env["PYTHONPATH"] = str(source)
        if name.startswith("web"):
            env["FUSIONAI_PORT"] = str(port := free_port())
            self._urls[name] = f"http://127.0.0.1:{port}"
        return env

    @property
    def environment(self) -> dict[str, str]:
        """What its commands are to be run with."""
        return self._env

    def up(self, name: str) -> bool:
        process = self.processes[name]
        if process.popen is None or process.name.startswith(("sweeper", "batches")):
            return process.popen is not None
        if process.name.startswith("worker"):
            alive = "SELECT count(*) FROM workers WHERE pid = :pid AND lapsed_at IS NULL"
            return bool(self.rows(alive, pid=process.popen.pid)[0][0])
        with contextlib.suppress(httpx.TransportError):
            return self._http.get(f"{self._urls[process.name]}/healthz").status_code == 200
        return False

    # -- a client of the stack ----------------------------------------------------------------------------------

    def open_account(self, credits: int = 100_000, *, counted: bool = False) -> Account:
        """A customer with credit, keys of both kinds, and a webhook of each to the inbox (live alone beside others).

        `counted`: its live key has budgets, of as many credits.
        """

        def make(connection: Any) -> Account:
            id = accounts.create_account(connection, "chaos", "enterprise")
            ledger.grant(connection, id, credits * clock.MICROS)
            keys = [accounts.create_key(connection, id, mode) for mode in ("live", "test")]  # type: ignore[arg-type]
            if counted:
                budgets = dict.fromkeys(BUDGET_PERIODS, credits * clock.MICROS)
                key_limits.change(connection, keys[0][0], key_limits.Change(budgets=budgets))
            return Account(id, *(key for _, key in keys))

        account = self.database.write_sync(make)
        places = {account.live_key: account.id, account.test_key: f"{account.id}{TEST}"}
        if self._sources:  # a version before there were modes tells every webhook of an account all its events
            del places[account.test_key]
        for key, place in places.items():
            hook = self.call(key, "POST", "/v1/webhooks", {"url": f"{self.inbox.url}/{place}"})
            self.inbox.expect(place, hook["secret"])
        return account

    def url(self, name: str) -> str:
        """Where a producer listens, the same after it has died."""
        return self._urls[name]

    def call(self, key: str, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The JSON of an answer; asked for again under one Idempotency-Key while there is nobody to give it.

        `more` is httpx's, such as the `files` and `data` of a form.
        """
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": clock.new_id("idem")}
        deadline, pause, tries = clock.monotonic() + 60, threading.Event(), 0
        while True:
            url = sorted(self._urls.values())[(hash(headers["Idempotency-Key"]) + tries) % len(self._urls)]
            tries += 1
            try:
                answer = self._http.request(method, url + path, json=body, headers=headers, **more)
                assert answer.status_code < 400, answer.text
                return answer.json()
            except httpx.TransportError:
                assert clock.monotonic() < deadline, f"nobody answers {method} {path}"
            self.tend()
            pause.wait(0.05)

    def submit(self, account: Account, jobs: Sequence[Mapping[str, Any]], *, test: bool = False) -> list[str]:
        """Have jobs accepted, one alone or several as a list; their ids."""
        key = account.test_key if test else account.live_key
        answer = self.call(key, "POST", "/v1/jobs", {"jobs": list(jobs)} if len(jobs) > 1 else jobs[0])
        ids = [job["id"] for job in answer.get("data", [answer])]
        self.accepted += ids
        return ids

    def submit_batch(
        self,
        account: Account,
        lines: Sequence[Mapping[str, Any]],
        *,
        upload: bool = False,
        test: bool = False,
        refused: bool = False,
        **spec: Any,
    ) -> str:
        """Have a batch of lines accepted, inline or by an upload; its id. `refused`: it is going to fail as a whole."""
        key = account.test_key if test else account.live_key
        given: dict[str, Any] = {"requests": list(lines)}
        if upload:
            form = {"file": ("lines.jsonl", b"".join(orjson.dumps(one) + b"\n" for one in lines))}
            given = {"input_file_id": self.call(key, "POST", "/v1/files", files=form, data={"purpose": "batch"})["id"]}
        id = str(self.call(key, "POST", "/v1/batches", {**given, **spec})["id"])
        self.submitted[id] = [] if refused else [one["custom_id"] for one in lines]
        return id

    def script(self, *rules: Mapping[str, Any], limits: Sequence[Mapping[str, Any]] = ()) -> None:
        """Replace the simulator's rules and limits; it counts and records anew."""
        order = {"rules": rules, "limits": limits, "record": True}
        with httpx.Client(trust_env=False) as client:
            client.post(f"{self.simulator.url}/_simulator/script", json=order).raise_for_status()

    def forget_pace(self) -> None:
        """Let workers that start from now on know nothing of how fast providers were called."""
        with redis_py.from_url(self.redis.url) as connection:
            names = [name.decode() for name in connection.smembers(states.NAMES)]
            connection.delete(states.NAMES, *(states.KEY.format(name) for name in names))

    def calls(self, containing: str = "") -> int:
        """How many provider calls since the script was set had this text in them."""
        with httpx.Client(trust_env=False) as client:
            params = {"contains": containing} if containing else {}
            found = client.get(f"{self.simulator.url}/_simulator/calls", params=params).json()
        return int(found["count"] if containing else found["total"])

    # -- what came of it ----------------------------------------------------------------------------------------

    def rows(self, query: str, **values: Any) -> Sequence[Any]:
        """The rows of a query."""
        return self.database.read_sync(lambda connection: connection.execute(text(query), values).all())

    def change(self, statement: str, **values: Any) -> None:
        """Change rows by hand: what a test does to let time pass."""
        self.database.write_sync(lambda connection: connection.execute(text(statement), values))

    def counter(self, name: str) -> int:
        """A counter of the database's, over all processes."""
        return sum(row.value for row in self.rows("SELECT value FROM counters WHERE name = :name", name=name))

    def job(self, id: str) -> Any:
        """A job's row."""
        return self.rows("SELECT * FROM jobs WHERE id = :id", id=id)[0]

    def batch(self, id: str) -> Any:
        """A batch's row."""
        return self.rows("SELECT * FROM batches WHERE id = :id", id=id)[0]

    def state(self) -> str:
        """How many jobs stand how, and which deliveries wait: for the message of a failure."""
        jobs = self.rows("SELECT status, queue, count(*) FROM jobs GROUP BY status, queue ORDER BY status, queue")
        batches = self.rows(
            "SELECT id, status, stopped, total, released, succeeded, failed, cancelled, expired FROM batches "
            f"WHERE {UNFINISHED} ORDER BY id LIMIT 5"
        )
        pending = self.rows("SELECT count(*) FROM deliveries WHERE status = 'pending'")
        stuck = self.rows(
            "SELECT id, status, queue, offer, failures, cohort, lease_epoch, worker_id, run_at - :now AS due, "
            "woken_at - :now AS woken FROM jobs WHERE status IN ('queued', 'running') ORDER BY id LIMIT 5",
            now=clock.now_micros(),
        )
        return (
            f"jobs {[tuple(row) for row in jobs]}, batches {[tuple(row) for row in batches]}, "
            f"{pending[0][0]} deliveries pending, unfinished {[tuple(row) for row in stuck]}, logs in {self.directory}"
        )

    def await_all_terminal(self, ids: Sequence[str] = (), *, seconds: float = 90.0) -> None:
        """Until these jobs (or all) have ended."""
        some = "AND id IN (SELECT value FROM json_each(:ids))" if self.database.is_sqlite else "AND id = ANY(:ids)"
        query = f"SELECT count(*) FROM jobs WHERE status IN ('queued', 'running') {some if ids else ''}"
        values = {"ids": json.dumps(list(ids)) if self.database.is_sqlite else list(ids)} if ids else {}
        self.until(lambda: self.rows(query, **values)[0][0] == 0, seconds=seconds, what="every job's end")

    def await_batch(self, id: str, *, seconds: float = 90.0) -> Any:
        """Until a batch has ended; its row."""
        ended = f"SELECT * FROM batches WHERE id = :id AND NOT ({UNFINISHED} OR {TO_READ})"
        return self.until(lambda: self.rows(ended, id=id), seconds=seconds, what=f"the end of {id}")[0]

    def quiet(self, *, seconds: float = 90.0) -> None:
        """Until every batch and job has ended and every event is delivered."""
        unfinished = f"SELECT count(*) FROM batches WHERE {UNFINISHED} OR {TO_READ}"
        self.until(lambda: self.rows(unfinished)[0][0] == 0, seconds=seconds, what="every batch's end")
        self.await_all_terminal(seconds=seconds)
        pending = "SELECT count(*) FROM deliveries WHERE status = 'pending'"
        self.until(lambda: self.rows(pending)[0][0] == 0, seconds=seconds, what="every delivery")

    def end_claims(self) -> None:
        """Let the 40 s pass for which a delivery is its sender's, who has died."""
        self.change("UPDATE deliveries SET next_at = 0 WHERE status = 'pending'")

    def check(self) -> None:
        """Every promise about jobs, money and events holds, once all is quiet."""
        violations = self.violations()
        assert violations == [], violations

    def violations(self) -> list[str]:
        """What is otherwise, as a line each."""
        if left := self._leftovers():
            places, kills = Counter(path.parent.name for path in left), self.kills("batches")
            kept = self.rows(
                "SELECT count(*) FROM batches WHERE plan IS NOT NULL AND stopped <> '' AND released < total"
            )
            for place, most in {"plans": kills + kept[0][0], "outputs": 2 * kills, "files": self.kills("web")}.items():
                assert places[place] <= most, f"{places[place]} were left in {place}, at most {most} may be: {left}"
            self._forget_leftovers()
        return self.database.read_sync(audit, self.accepted, self.submitted, self.inbox, self.directory / "files")

    def kills(self, kind: str) -> int:
        """How many processes of a kind have been killed."""
        found = [process for name, process in self.processes.items() if name.startswith(kind)]
        return sum(process.ends.count(-signal.SIGKILL) for process in found)

    def _leftovers(self) -> list[Path]:
        named = {row.blob for row in self.rows("SELECT blob FROM files")}
        return leftovers(self.directory / "files", named)

    def _forget_leftovers(self) -> None:
        """Let the days pass after which what killed processes left is removed: a new sweeper looks at once."""
        for path in self._leftovers():
            os.utime(path, (0, 0))
        self.restart("sweeper")
        self.until(lambda: not self._leftovers(), what="the removal of what killed processes left")
