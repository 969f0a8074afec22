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
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from sqlalchemy import text

from shared import accounts, clock, ledger, lifeline
from shared.db import Database
from shared.settings import settings
from tests.chaos.audit import audit
from tests.chaos.inbox import Inbox
from tests.servers import RedisServer, free_port
from workers.simulator.server import SimulatorProcess

T = TypeVar("T")

MODULES = {"web": "producer.app", "worker": "workers.app", "sweeper": "workers.sweep"}
#: Short enough that a dead worker costs a test seconds; a beat may be late by five of its pauses.
SHORT = {"LEASE_SECONDS": "3", "BEAT_SECONDS": "0.5", "RETRY_BASE_SECONDS": "0.05", "WEBHOOK_PACE": "0.01"}
#: What a child may take from the environment of the test: nothing that could name a real provider.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Account:
    """A customer with credit, and a webhook that gets every event."""

    id: str
    live_key: str
    test_key: str


@dataclass
class Process:
    """A named process; `down` when the test wants it so, otherwise it is started again."""

    name: str
    env: dict[str, str]
    popen: "subprocess.Popen[bytes] | None" = None
    down: bool = False
    ends: list[int] = field(default_factory=list)


def chat(content: str, **more: Any) -> dict[str, Any]:
    """A small chat job."""
    message = {"role": "user", "content": content}
    return {"type": "chat.completion", "model": "gpt-3.5-turbo", "messages": [message], "max_tokens": 16, **more}


class Stack:
    """The processes, and a client of theirs. `names`: which to start (`web`, `web2`, `worker`, `sweeper`, …)."""

    def __init__(
        self,
        directory: Path,
        database_url: str,
        redis: RedisServer,
        *,
        names: Sequence[str] = ("web", "worker", "sweeper"),
        latency: float = 0.0,
        **given: str,
    ) -> None:
        self.directory, self.redis = directory, redis
        self.database = Database(database_url)
        self.inbox = Inbox()
        self.accepted: list[str] = []
        self.processes: dict[str, Process] = {}
        self.simulator = SimulatorProcess(latency=latency)
        self._names = names
        self._urls: dict[str, str] = {}
        self._main = threading.current_thread()
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
            **_settings(SHORT | given),
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
        for process in self.processes.values():
            process.down = True
            if process.popen is not None:
                lifeline.kill(process.popen)
                process.popen.wait()
        self.simulator.stop()
        self.inbox.__exit__(None, None, None)
        self._http.close()
        self.database.close()

    # -- processes ----------------------------------------------------------------------------------------------

    def start(self, name: str, **once: str) -> None:
        """Start a process; `once` are settings of this one alone, not of those that follow when it dies."""
        process = self.processes.setdefault(name, Process(name, self._environment(name)))
        assert process.popen is None, f"{name} is running"
        process.down = False
        self._spawn(process, once)

    def restart(self, name: str, **once: str) -> None:
        """End a process well and start another, with settings of its own."""
        self.terminate(name)
        self.start(name, **once)
        self.ready()

    def arm(self, name: str, point: str) -> None:
        """Have a process die at a crash point (`name:n`: the n-th time); the one that follows it is not armed."""
        self.log(name, "crash").unlink(missing_ok=True)
        self.restart(name, CRASH_AT=point)

    def hit(self, name: str) -> str:
        """The crash point that the process has died at, or nothing."""
        log = self.log(name, "crash")
        return log.read_text().strip() if log.exists() else ""

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process that runs."""
        popen = self.processes[name].popen
        if popen is not None and popen.returncode is None:
            popen.send_signal(number)

    def kill(self, name: str) -> None:
        """SIGKILL; it will be started again."""
        self.signal(name, signal.SIGKILL)

    def take_down(self, name: str) -> None:
        """SIGKILL, and leave it dead until `start`."""
        self.processes[name].down = True
        self.kill(name)
        self.until(lambda: self.processes[name].popen is None, what=f"{name}'s end")

    def terminate(self, name: str) -> None:
        """SIGTERM, until it has ended; it stays down."""
        self.processes[name].down = True
        self.signal(name, signal.SIGTERM)
        self.until(lambda: self.processes[name].popen is None, seconds=40, what=f"{name}'s end")

    def tend(self) -> None:
        """Note what has died, and start it again unless it is to stay down."""
        if threading.current_thread() is not self._main:
            return
        for process in self.processes.values():
            if process.popen is not None and (status := lifeline.reap(process.popen)) is not None:
                process.popen = None
                process.ends.append(status)
            if process.popen is None and not process.down:
                self._spawn(process, {})

    def until(self, condition: Callable[[], T], *, seconds: float = 30.0, what: str = "the condition") -> T:
        """The first truthy value of `condition`, tending the processes meanwhile."""
        deadline, pause = clock.monotonic() + seconds, threading.Event()
        while not (value := condition()):
            self.tend()
            assert clock.monotonic() < deadline, f"{what} did not come true within {seconds:g} s: {self.state()}"
            pause.wait(0.02)
        return value

    def ready(self) -> None:
        """Until every producer answers and every worker has its lease."""
        self.until(lambda: all(self._up(one) for one in list(self.processes.values())), what="readiness")

    def log(self, name: str, kind: str = "log") -> Path:
        """A file of a process's: what it printed (`log`), or the crash point it died at (`crash`)."""
        return self.directory / f"{name}.{kind}"

    def _spawn(self, process: Process, once: Mapping[str, str]) -> None:
        module = MODULES[process.name.rstrip("0123456789")]
        argv = [sys.executable, "-m", module]
        # Away from the repository, where a developer's .env might name a real provider.
        with self.log(process.name).open("ab") as output, contextlib.chdir(self.directory):
            process.popen = lifeline.start(argv, process.env | _settings(once), output.fileno())

    def _environment(self, name: str) -> dict[str, str]:
        env = self._env | {"FUSIONAI_CRASH_LOG": str(self.log(name, "crash"))}
        if name.startswith("web"):
            env["FUSIONAI_PORT"] = str(port := free_port())
            self._urls[name] = f"http://127.0.0.1:{port}"
        return env

    def _up(self, process: Process) -> bool:
        if process.down or process.name.startswith("sweeper"):
            return True
        if process.popen is None:
            return False
        if process.name.startswith("worker"):
            alive = "SELECT count(*) FROM workers WHERE pid = :pid AND lapsed_at IS NULL"
            return bool(self.rows(alive, pid=process.popen.pid)[0][0])
        with contextlib.suppress(httpx.TransportError):
            return self._http.get(f"{self._urls[process.name]}/healthz").status_code == 200
        return False

    # -- a client of the stack ----------------------------------------------------------------------------------

    def open_account(self, credits: int = 100_000) -> Account:
        """A customer with credit, keys of both kinds, and a webhook to the inbox."""

        def make(connection: Any) -> Account:
            id = accounts.create_account(connection, "chaos", "enterprise")
            ledger.grant(connection, id, credits * clock.MICROS)
            live, test = (accounts.create_key(connection, id, mode)[1] for mode in ("live", "test"))
            return Account(id, live, test)

        account = self.database.write_sync(make)
        hook = self.call(account.live_key, "POST", "/v1/webhooks", {"url": f"{self.inbox.url}/{account.id}"})
        self.inbox.expect(account.id, hook["secret"])
        return account

    def call(self, key: str, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer; asked for again under one Idempotency-Key while there is nobody to give it."""
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": clock.new_id("idem")}
        deadline, pause, tries = clock.monotonic() + 60, threading.Event(), 0
        while True:
            url = sorted(self._urls.values())[(hash(headers["Idempotency-Key"]) + tries) % len(self._urls)]
            tries += 1
            try:
                answer = self._http.request(method, url + path, json=body, headers=headers)
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

    def script(self, *rules: Mapping[str, Any]) -> None:
        """Replace the simulator's rules; it counts and records anew."""
        with httpx.Client(trust_env=False) as client:
            client.post(f"{self.simulator.url}/_simulator/script", json={"rules": rules, "record": True})

    def calls(self, containing: str = "") -> int:
        """How many provider calls since the script was set had this text in them."""
        with httpx.Client(trust_env=False) as client:
            found = client.get(f"{self.simulator.url}/_simulator/calls", params={"contains": containing})
        return int(found.json()["count"])

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

    def state(self) -> str:
        """How many jobs stand how, and which deliveries wait: for the message of a failure."""
        jobs = self.rows("SELECT status, queue, count(*) FROM jobs GROUP BY status, queue ORDER BY status, queue")
        pending = self.rows("SELECT count(*) FROM deliveries WHERE status = 'pending'")
        return f"jobs {[tuple(row) for row in jobs]}, {pending[0][0]} deliveries pending, logs in {self.directory}"

    def await_all_terminal(self, ids: Sequence[str] = (), *, seconds: float = 45.0) -> None:
        """Until these jobs (or all) have ended."""
        some = "AND id IN (SELECT value FROM json_each(:ids))" if self.database.is_sqlite else "AND id = ANY(:ids)"
        query = f"SELECT count(*) FROM jobs WHERE status IN ('queued', 'running') {some if ids else ''}"
        values = {"ids": json.dumps(list(ids)) if self.database.is_sqlite else list(ids)} if ids else {}
        self.until(lambda: self.rows(query, **values)[0][0] == 0, seconds=seconds, what="every job's end")

    def quiet(self, *, seconds: float = 45.0) -> None:
        """Until every job has ended and every event is delivered."""
        self.await_all_terminal(seconds=seconds)
        pending = "SELECT count(*) FROM deliveries WHERE status = 'pending'"
        self.until(lambda: self.rows(pending)[0][0] == 0, seconds=seconds, what="every delivery")

    def end_claims(self) -> None:
        """Let the 40 s pass for which a delivery is its sender's, who has died."""
        self.change("UPDATE deliveries SET next_at = 0 WHERE status = 'pending'")

    def check(self) -> None:
        """Every promise of bar.md (Reliability) holds, once all is quiet."""
        violations = self.database.read_sync(audit, self.accepted, self.inbox)
        assert violations == [], violations


def _settings(given: Mapping[str, str]) -> dict[str, str]:
    return {f"FUSIONAI_{name}": value for name, value in given.items()}
