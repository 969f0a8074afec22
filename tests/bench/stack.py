"""The stack that a benchmark measures: processes, Redis and a durable database of their own, with credit to spend."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import redis
from sqlalchemy import func, select, update

from fusionai.plain import PlainClient
from producer.admission.accept import accept
from producer.admission.prepared import Accepted, PreparedJobs
from shared import clock, verify
from shared import processes as lifeline
from shared.accounts import create_account, create_key
from shared.db import Database
from shared.db.migrations import migrate
from shared.db.models import batches, jobs
from shared.key_holders import KeyHolder
from shared.money.ledger import grant
from shared.settings import settings
from shared.submissions import quote, rows
from shared.submissions.catalogue import catalogue
from shared.submissions.rows import Owner, PricedSubmission
from shared.submissions.schemas import read_submission
from tests.bench import cpu
from tests.chaos.processes import MODULES
from tests.servers import PostgresServer, RedisServer, free_port

T = TypeVar("T")

CHUNK = 500
BODY = {"model": "gpt-4", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
#: Between the last acceptance and the common start.
LEAD_MICROS = 1_500_000
#: Between two looks at what is awaited, in seconds.
LOOK_SECONDS = 0.1
#: A worker that is told to stop lets its calls end, for twenty seconds at most.
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Customer:
    """An account with far more credit than any benchmark spends."""

    holder: KeyHolder
    key: str


@dataclass
class Bench:
    """A running stack over a database of its own."""

    database: Database
    redis: RedisServer
    customer: Customer
    environment: dict[str, str]
    #: Where it keeps its state, and what its processes print: `<name>.log`.
    directory: Path
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def web(self) -> str:
        """Where the web process listens, when there is one."""
        return f"http://127.0.0.1:{self.environment['FUSIONAI_PORT']}"

    def client(self, customer: Customer | None = None) -> PlainClient:
        """A client of the web process."""
        return PlainClient(f"{self.web}/v1", (customer or self.customer).key)

    def open_account(self) -> Customer:
        """One more customer."""
        return self.database.write_sync(open_customer)

    def accept(
        self, count: int, *, marker: str = "", every: int = 0, customer: Customer | None = None
    ) -> list[dict[str, Any]]:
        """Rows of accepted jobs on the batch lane, due in an hour; each `every`-th has `marker` in its prompt."""
        due = clock.now_micros() + 3600 * clock.MICROS
        return accepted(self.database, (customer or self.customer).holder, count, marker=marker, every=every, due=due)

    def go(self) -> int:
        """Let everything accepted start at one moment; that moment."""
        start = clock.now_micros() + LEAD_MICROS

        def release(connection: Any) -> None:
            connection.execute(update(jobs).where(jobs.c.status == "queued").values(run_at=start))

        self.database.write_sync(release)
        return start

    def until(self, query: Callable[[Any], T | None], *, seconds: float = 600, look: float = LOOK_SECONDS) -> T:
        """The first truthy value of a read, asked for every `look` seconds; AssertionError when there is none."""
        deadline, pause = clock.monotonic() + seconds, threading.Event()
        while not (value := self.database.read_sync(query)):
            assert clock.monotonic() < deadline, f"not within {seconds:g} s"
            for name, process in self.processes.items():
                assert process.poll() is None, f"the {name} process has ended:\n{self.log(name).read_text()[-2000:]}"
            pause.wait(look)
        return value

    def await_done(self, seconds: float = 600) -> tuple[int, int]:
        """Until no job is left; the deepest the broker got, in messages, and the highest memory of a worker, in kB."""
        deepest, memory = 0, 0
        with redis.Redis(port=self.redis.port) as broker:

            def done(connection: Any) -> bool:
                nonlocal deepest, memory
                deepest = max(deepest, int(broker.llen("openai.batch")))
                memory = max(memory, _peak_kb(self.processes["worker0"].pid))
                return not _left(connection)

            self.until(done, seconds=seconds)
        return deepest, memory

    def rate(self, start: int, count: int) -> float:
        """Jobs a second, from the common start to the last end."""
        last: int = self.database.read_sync(lambda c: c.execute(select(func.max(jobs.c.finished_at))).scalar_one())
        return count / ((last - start) / clock.MICROS)

    def await_batch(self, id: str, *, look: float = LOOK_SECONDS) -> dict[str, Any]:
        """The row of a batch once it is completed; AssertionError when it ends otherwise."""

        def over(connection: Any) -> dict[str, Any] | None:
            batch = batch_row(connection, id)
            assert batch["status"] in ("validating", "in_progress", "finalizing", "completed"), batch
            return batch if batch["status"] == "completed" else None

        return self.until(over, look=look) or {}

    def cpu_seconds(self, name: str) -> float:
        """The CPU time of a process so far, in seconds, all its threads together; 0 where the system does not say."""
        return cpu.seconds(self.processes[name].pid)

    def log(self, name: str) -> Path:
        """What a process printed."""
        return self.directory / f"{name}.log"

    def start(self, name: str) -> None:
        """Start a process: `web`, `worker0` …; it ends with this one."""
        argv = [sys.executable, "-m", MODULES[name.rstrip("0123456789")]]
        with self.log(name).open("ab") as output:
            self.processes[name] = lifeline.start(argv, self.environment, output.fileno())

    def stop(self, name: str) -> None:
        """End a process well, or by force when it takes too long."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            lifeline.kill(process)
            process.wait()

    def stop_all(self) -> None:
        """End what still runs."""
        for process in self.processes.values():
            process.terminate()
        for name in list(self.processes):
            self.stop(name)


def priced(body: dict[str, Any] | None = None) -> PricedSubmission:
    """A chat as acceptance prices it."""
    submission = read_submission("chat.completion", body or BODY)
    return rows.priced(submission, quote.offers(submission, catalogue(), test=False))


def new_job(owner: Owner, said: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """The rows of a job that asks for a short answer."""
    body = {**BODY, "messages": [{"role": "user", "content": said}]} if said else BODY
    return rows.rows(owner, priced(body))


def batch_row(connection: Any, id: str) -> dict[str, Any]:
    """A batch's row; its times are in microseconds."""
    return dict(connection.execute(select(batches).where(batches.c.id == id)).mappings().one())


def temporary_directory() -> "tempfile.TemporaryDirectory[str]":
    """On a disk, where fsync costs what it costs; it goes with all that is in it."""
    return tempfile.TemporaryDirectory(prefix="fusionai-bench-", dir=Path.home() if os.path.ismount("/tmp") else None)


@contextlib.contextmanager
def bench(
    base: str,
    path: str = "/v1",
    *,
    workers: int = 1,
    beside: Sequence[str] = ("sweeper",),
    postgresql: bool = False,
    directory: Path | None = None,
    check: bool = True,
    **env: str,
) -> Iterator[Bench]:
    """Run workers, and what is named beside them, calling the upstream at `base`; at the end every row is verified.

    `directory`: one that is there, whose SQLite database and state are gone on with. `check` False: not verified.
    """
    with contextlib.ExitStack() as stack:
        place = directory or Path(stack.enter_context(temporary_directory()))
        broker = RedisServer().start()
        stack.callback(broker.stop)
        database_url = f"sqlite:///{place}/bench.sqlite3"
        if postgresql:
            postgres = PostgresServer(durable=True)
            stack.callback(postgres.stop)
            database_url = postgres.database()
        migrate(database_url)
        database = Database(database_url)
        stack.callback(database.close)
        environment = _environment(place, database_url, broker.url, base + path) | env
        running = Bench(database, broker, database.write_sync(open_customer), environment, place)
        stack.callback(running.stop_all)
        with contextlib.chdir(place):  # away from a developer's .env, which might name a real provider
            for name in [*(f"worker{number}" for number in range(workers)), *beside]:
                running.start(name)
        if "web" in beside:
            running.until(lambda _: _answers(running.web), seconds=30)
        yield running
        assert not check or database.read_sync(verify.verify) == []


def _left(connection: Any) -> bool:
    """Asked through the two small indexes of unfinished jobs."""
    for status in ("queued", "running"):
        if connection.execute(select(jobs.c.id).where(jobs.c.status == status).limit(1)).first():
            return True
    return False


def open_customer(connection: Any) -> Customer:
    """One more account, with a live key."""
    account = create_account(connection, "bench", "enterprise")
    grant(connection, account, 10**15)
    key_id, key = create_key(connection, account, "live")
    return Customer(KeyHolder(key_id, account, "live", None), key)


def accepted(
    database: Database, holder: KeyHolder, count: int, *, marker: str = "", every: int = 0, due: int = 0
) -> list[dict[str, Any]]:
    """Rows of accepted jobs of one key; each `every`-th has `marker` in its prompt. `due`: when they may run."""
    rows: list[dict[str, Any]] = []
    for start in range(0, count, CHUNK):
        marked = [bool(every) and index % every == 0 for index in range(start, min(start + CHUNK, count))]
        made = [new_job(Owner(holder.account_id, holder.key_id, False), marker * mark) for mark in marked]
        for row, _ in made:
            row["run_at"] = due
        order = PreparedJobs(holder, [row for row, _ in made], [payload for _, payload in made], "{}", None)
        (outcome,) = database.write_sync(accept, [order])
        assert isinstance(outcome, Accepted), outcome
        rows += order.rows
    return rows


def _environment(directory: Path, database_url: str, redis_url: str, base: str) -> dict[str, str]:
    return {
        **os.environ,
        "OPENAI_API_KEY": "bench",
        "FUSIONAI_PROVIDER_OPENAI_URL": base,
        "FUSIONAI_STATE_DIRECTORY": str(directory),
        "FUSIONAI_DATABASE_URL": database_url,
        "FUSIONAI_BROKER_URL": redis_url,
        "FUSIONAI_REDIS_URL": redis_url,
        "FUSIONAI_KEY_SECRET": settings().key_secret,
        "FUSIONAI_PORT": str(free_port()),
        "FUSIONAI_LOG_LEVEL": "WARNING",
    }


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    return False


def _peak_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1])
    return 0
