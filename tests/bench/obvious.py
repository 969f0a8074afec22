"""The obvious program: one Celery task a job on Redis, threads pool, httpx.Client, one transaction a task.

    python -m tests.bench.obvious [--jobs 3000] [--concurrency 16] [--path /v1]

Self-contained: its own Celery app, Redis (the binary that the product starts), SQLite file (WAL, synchronous=FULL, as
the product's) and directory. All N tasks are published first, then ONE worker process starts; the clock runs from the
first task's start to the last row written.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import redis
from celery import Celery
from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text, create_engine, event, func, select

from producer.stack.embedded_redis import redis_server
from tests.bench.upstream import raise_open_files, upstream

#: How the worker process, started by the celery command, hears of its Redis, database and upstream.
BROKER, DATABASE, URL = (os.environ.get(f"OBVIOUS_{name}", "") for name in ("BROKER", "DATABASE", "URL"))
#: Micro-credits a token, so that each task has a charge to write.
PRICE_MICROS = 30

app = Celery("obvious", broker=BROKER or "memory://")
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)

metadata = MetaData()
results = Table(
    "results",
    metadata,
    Column("job_id", Integer, primary_key=True),
    Column("body", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("finished_at", Float, nullable=False),
)
charges = Table(
    "charges",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", Integer, nullable=False, unique=True),
    Column("account", String, nullable=False),
    Column("amount_micros", Integer, nullable=False),
)


def engine_of(url: str) -> Any:
    """SQLite as the product opens it: WAL, every commit on disk; waiting for the lock in the stock handler."""
    engine = create_engine(url, connect_args={"timeout": 60}, pool_size=32, max_overflow=0, pool_timeout=600)

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


class Process:
    """What the worker process owns, made on first use: a client and an engine for all its threads."""

    lock = threading.Lock()
    client: httpx.Client | None = None
    engine: Any = None

    @classmethod
    def opened(cls) -> tuple[httpx.Client, Any]:
        with cls.lock:
            if cls.client is None:
                limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
                cls.client = httpx.Client(timeout=60, limits=limits, trust_env=False)
                cls.engine = engine_of(DATABASE)
        return cls.client, cls.engine


@app.task(name="obvious.complete", autoretry_for=(httpx.HTTPError,), default_retry_delay=0, max_retries=9)  # type: ignore[untyped-decorator]
def complete(job_id: int, messages: list[dict[str, str]]) -> None:
    """Call the provider, then write the result and the charge in one transaction."""
    started_at = time.time()
    client, engine = Process.opened()
    answer = client.post(URL, json={"model": "gpt-4", "messages": messages, "max_tokens": 16})
    answer.raise_for_status()
    amount = answer.json()["usage"]["total_tokens"] * PRICE_MICROS
    row = {"job_id": job_id, "body": answer.text, "started_at": started_at, "finished_at": time.time()}
    with engine.begin() as connection:
        connection.execute(results.insert().values(row))
        connection.execute(charges.insert().values(job_id=job_id, account="acc_1", amount_micros=amount))


@contextmanager
def own_redis(directory: Path) -> Iterator[str]:
    """A Redis of our own on a free port, and its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--dir", str(directory), "--maxclients", "10000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(port=port) as client:
                _until(lambda: _answers(client), 10)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def _until(holds: Any, seconds: float, process: "subprocess.Popen[bytes] | None" = None) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise RuntimeError("the obvious program did not get there")
        time.sleep(0.1)


def publish(broker: str, jobs: int) -> None:
    """One message a job, over one connection."""
    messages = [{"role": "user", "content": "Say hello."}]
    with Celery("obvious", broker=broker) as publisher, publisher.producer_or_acquire() as producer:
        for job_id in range(jobs):
            publisher.send_task(complete.name, (job_id, messages), producer=producer, ignore_result=True)


@contextmanager
def worker(environment: dict[str, str], concurrency: int) -> Iterator["subprocess.Popen[bytes]"]:
    """One worker process of `celery worker`, with the settings that cost it least."""
    command = [sys.executable, "-m", "celery", "-A", "tests.bench.obvious", "worker", "--pool", "threads"]
    command += ["--concurrency", str(concurrency), "--loglevel", "ERROR"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    quiet = {"PYTHONWARNINGS": "ignore"}  # Celery warns of root, where the benchmarks may well run
    with subprocess.Popen(command, env={**os.environ, **environment, **quiet}, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def obvious(base: str, jobs: int, concurrency: int, *, path: str = "/v1", seconds: float = 600) -> float:
    """Jobs a second of the obvious program against the upstream at `base`."""
    with tempfile.TemporaryDirectory() as name, own_redis(Path(name)) as broker:
        database = f"sqlite:///{name}/obvious.sqlite3"
        engine = engine_of(database)
        metadata.create_all(engine)
        publish(broker, jobs)
        url = f"{base}{path}/chat/completions"
        environment = {"OBVIOUS_BROKER": broker, "OBVIOUS_DATABASE": database, "OBVIOUS_URL": url}
        try:
            with worker(environment, concurrency) as process:
                _until(lambda: _count(engine) >= jobs, seconds, process)
                return jobs / _elapsed(engine)
        finally:
            engine.dispose()


def _count(engine: Any) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(charges)).scalar_one())


def _elapsed(engine: Any) -> float:
    """Seconds from the first task's start to the last row; the rows' own times, not this process's polling."""
    with engine.connect() as connection:
        times = select(func.min(results.c.started_at), func.max(results.c.finished_at))
        first, last = connection.execute(times).one()
    return float(last - first)


def main() -> None:
    parser = argparse.ArgumentParser(description="One Celery task a job, as one would write it in an afternoon.")
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--path", default="/v1", help="/v1, /slow/v1, /delay/<ms>/v1")
    parser.add_argument("--upstream", help="an upstream that runs already; without it one is started")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the processes it started end too
    raise_open_files()
    with nullcontext(given.upstream) if given.upstream else upstream() as base:
        rate = obvious(base, given.jobs, given.concurrency, path=given.path)
    print(f"obvious: {rate:,.0f} jobs/s, {given.concurrency} threads, one worker process")


if __name__ == "__main__":
    main()
