"""A process that settles the jobs which one worker holds, as fast as it can, and measures what that takes.

python -m tests.bench.settling DATABASE_URL WORKER    # says "ready", waits for a line, prints its figures
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import orjson
from sqlalchemy import event, select

from shared.db import Database
from shared.db.models import jobs
from shared.jobs import transitions
from shared.jobs.outcomes import Ending
from shared.slices import slices
from tests.bench.upstream import COMPLETION
from workers.running.settler import MOST


@dataclass(slots=True)
class Figures:
    """Of one process: CPU a job, statements, and the length of a transaction and of its hold on an account's row."""

    cpu_micros: float = 0
    statements: float = 0
    millis: float = 0
    locked_millis: float = 0

    @classmethod
    def mean(cls, of: Sequence["Figures"]) -> "Figures":
        """Of several."""
        return cls(**{one.name: sum(getattr(it, one.name) for it in of) / len(of) for one in fields(cls)})


class Settling:
    """Such a process, from the outside."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @classmethod
    @contextlib.contextmanager
    def started(cls, url: str, worker: str) -> Iterator[Self]:
        """One that is ready; it ends with the context."""
        command = [sys.executable, "-m", __name__, url, worker]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                made = cls(process)
                assert made._line() == "ready"
                yield made
            finally:
                process.kill()

    def go(self) -> None:
        """Let it settle."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def figures(self) -> Figures:
        """What it measured, once it is done."""
        return Figures(**orjson.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Watch:
    """Counts the statements of transactions, and for how long each holds an account's row."""

    def __init__(self, database: Database) -> None:
        self.statements = self.transactions = 0
        self.seconds = self.locked = 0.0
        self._began = 0.0
        self._locked_at: float | None = None
        for name in ("begin", "after_cursor_execute"):
            event.listen(database.engine, name, getattr(self, name))

    def begin(self, _connection: Any) -> None:
        self._began, self._locked_at = time.perf_counter(), None

    def after_cursor_execute(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.statements += 1
        if self._locked_at is None and ("FOR UPDATE" in statement or statement.startswith("UPDATE accounts")):
            self._locked_at = time.perf_counter()

    def committed(self) -> None:
        """A transaction is over."""
        now = time.perf_counter()
        self.transactions += 1
        self.seconds += now - self._began
        if self._locked_at is not None:
            self.locked += now - self._locked_at

    def figures(self, cpu_seconds: float, count: int) -> Figures:
        """The means."""
        each = self.transactions or 1
        cpu = cpu_seconds / count * 1e6
        return Figures(cpu, self.statements / each, self.seconds / each * 1e3, self.locked / each * 1e3)


def settle(database: Database, worker: str) -> Figures:
    """End all that this worker holds, when told to."""
    held = database.read_sync(lambda c: c.execute(select(jobs.c.id, jobs.c.lease_epoch).where(_is_held(worker))).all())
    endings = [_ending(id, epoch) for id, epoch in held]
    print("ready", flush=True)
    sys.stdin.readline()
    watch, began = Watch(database), time.process_time()
    for some in slices(endings, MOST):
        settled = database.write_sync(transitions.settle, some)
        watch.committed()
        assert set(settled.verdicts.values()) == {"done"}
    return watch.figures(time.process_time() - began, len(endings))


def _is_held(worker: str) -> Any:
    return (jobs.c.worker_id == worker) & (jobs.c.status == "running")


def _ending(id: str, epoch: int) -> Ending:
    attempt = {"provider": "openai", "model": "gpt-4", "started_at": 1, "finished_at": 1, "status_code": 200}
    made = Ending(id, epoch, "succeeded", response=COMPLETION.decode(), attempts=[attempt], provider="openai")
    return replace(made, model="gpt-4", prompt_tokens=9, completion_tokens=9, charge_micros=100)


def main() -> None:
    _, url, worker = sys.argv
    with contextlib.closing(Database(url)) as database:
        print(orjson.dumps(asdict(settle(database, worker))).decode(), flush=True)


if __name__ == "__main__":
    main()
