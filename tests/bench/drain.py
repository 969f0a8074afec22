"""How fast the product drains waiting jobs: durable, ledger on, one worker process, from wake to settled.

    python -m tests.bench.drain [--jobs 10000] [--path /v1] [--workers 1] [--postgresql]

The jobs are accepted with a start time a moment ahead; the clock is that time, and the last `finished_at` in the rows.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import func, select, update

from producer.accept import Accepted, Order, _job, accept
from shared import clock, quote, verify
from shared.accounts import KeyHolder, create_account, create_key
from shared.catalogue import catalogue
from shared.db import Database
from shared.ledger import grant
from shared.migrations import migrate
from shared.models import jobs
from shared.queue import queue_name
from shared.schemas import read_submission
from tests.bench.upstream import raise_open_files, upstream
from tests.servers import PostgresServer, RedisServer

CHUNK = 500
BODY = {"model": "gpt-4", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
#: Between the last acceptance and the common start.
LEAD_MICROS = 1_500_000


@dataclass
class Bench:
    """A running worker and sweeper over a database of their own."""

    database: Database
    redis: RedisServer
    holder: KeyHolder
    pids: dict[str, int]

    def accept(self, count: int, *, marker: str = "", every: int = 0, run_at: int | None = None) -> list[str]:
        """Accept jobs on the batch lane; each `every`-th has `marker` in its prompt."""
        ids: list[str] = []
        for start in range(0, count, CHUNK):
            rows, payloads = [], []
            for index in range(start, min(start + CHUNK, count)):
                said = marker if every and index % every == 0 else "Say hello."
                body = {**BODY, "messages": [{"role": "user", "content": said}]}
                submission = read_submission("chat.completion", body)
                offers = quote.offers(submission, catalogue(), test=False)
                row, payload = _job(self.holder, submission, offers, queue_name("openai", "batch"), "batch", False)
                row["run_at"] = clock.now_micros() + 3600 * clock.MICROS
                rows.append(row)
                payloads.append(payload)
            order = Order(self.holder, rows, payloads, "{}", None)
            (outcome,) = self.database.write_sync(accept, [order])
            assert isinstance(outcome, Accepted), outcome
            ids += [row["id"] for row in rows]
        return ids

    def go(self) -> int:
        """Let everything accepted start at one moment; that moment."""
        start = clock.now_micros() + LEAD_MICROS

        def release(connection: Any) -> None:
            connection.execute(update(jobs).where(jobs.c.status == "queued").values(run_at=start))

        self.database.write_sync(release)
        return start

    def await_done(self, seconds: float = 600) -> tuple[int, int]:
        """Until no job is left; the deepest the broker got, in messages, and the highest memory of a worker, in kB."""
        deepest, memory, deadline = 0, 0, clock.monotonic() + seconds
        with redis.Redis(port=self.redis.port) as broker:
            while self.database.read_sync(_left):
                assert clock.monotonic() < deadline, "the jobs did not end in time"
                deepest = max(deepest, int(broker.llen("openai.batch")))
                memory = max(memory, _peak_kb(self.pids["worker0"]))
                threading.Event().wait(0.1)
        return deepest, memory

    def rate(self, start: int, count: int) -> float:
        """Jobs a second, from the common start to the last end."""
        last = self.database.read_sync(lambda c: c.execute(select(func.max(jobs.c.finished_at))).scalar_one())
        return count / ((last - start) / clock.MICROS)


@contextlib.contextmanager
def bench(base: str, path: str = "/v1", *, workers: int = 1, postgresql: bool = False, **env: str) -> Iterator[Bench]:
    """Redis, a database, workers and a sweeper, all of their own, calling the upstream at `base`."""
    with tempfile.TemporaryDirectory(dir=Path.home() if os.path.ismount("/tmp") else None) as directory:
        broker = RedisServer().start()
        postgres = PostgresServer() if postgresql else None
        url = postgres.database() if postgres else f"sqlite:///{directory}/bench.sqlite3"
        migrate(url)
        database = Database(url)
        environment = _environment(directory, url, broker.url, base + path) | env
        processes = {f"worker{n}": _start("workers.app", environment) for n in range(workers)}
        processes["sweeper"] = _start("workers.sweep", environment)
        try:
            holder = database.write_sync(_account)
            yield Bench(database, broker, holder, {name: process.pid for name, process in processes.items()})
            assert database.read_sync(verify.verify) == []
        finally:
            for process in processes.values():
                process.terminate()
            for process in processes.values():
                process.wait(10)
            database.close()
            broker.stop()
            if postgres:
                postgres.stop()


def drain(base: str, count: int, path: str = "/v1", *, warm: int = 2000, **how: Any) -> tuple[float, int, int]:
    """Jobs a second, the deepest broker queue in messages, the worker's peak memory in kB."""
    with bench(base, path, **how) as running:
        if warm:
            running.accept(warm)
            running.go()
            running.await_done()
        running.accept(count)
        start = running.go()
        deepest, memory = running.await_done()
        return running.rate(start, count), deepest, memory


def _left(connection: Any) -> bool:
    """Asked through the two small indexes of unfinished jobs."""
    for status in ("queued", "running"):
        if connection.execute(select(jobs.c.id).where(jobs.c.status == status).limit(1)).first():
            return True
    return False


def _account(connection: Any) -> KeyHolder:
    account = create_account(connection, "bench", "enterprise")
    grant(connection, account, 10**15)
    key_id, _ = create_key(connection, account, "live")
    return KeyHolder(key_id, account, "live", None)


def _environment(directory: str, database_url: str, redis_url: str, base: str) -> dict[str, str]:
    shipped = Path(__file__).parents[2] / "shared" / "catalogue.toml"
    listed = Path(directory) / "catalogue.toml"
    listed.write_text(shipped.read_text().replace("https://api.openai.com/v1", base))
    return {
        **os.environ,
        "OPENAI_API_KEY": "bench",
        "FUSIONAI_CATALOGUE": str(listed),
        "FUSIONAI_STATE_DIRECTORY": directory,
        "FUSIONAI_DATABASE_URL": database_url,
        "FUSIONAI_BROKER_URL": redis_url,
        "FUSIONAI_REDIS_URL": redis_url,
        "FUSIONAI_LOG_LEVEL": "WARNING",
    }


def _start(module: str, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", module], env=environment, stdout=subprocess.DEVNULL)


def _peak_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1])
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description="What the product reaches.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--path", default="/v1", help="/v1, /slow/v1, /delay/<ms>/v1, /mixed/v1")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true")
    given = parser.parse_args()
    raise_open_files()
    with upstream() as base:
        rate, deepest, memory = drain(base, given.jobs, given.path, workers=given.workers, postgresql=given.postgresql)
    print(f"drain: {rate:,.0f} jobs/s; broker at most {deepest} messages; worker at most {memory / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
