"""Who answers synchronous chats: ours and its peers, all up at the same time; what a load of one comes to.

All send the same chat to the same local upstream, which answers at once. Ours is what `fusionai up` runs: one web
process, one worker, a sweeper, Redis, durable SQLite; its account has a limit of requests a minute, which is counted,
and is too high to be reached.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any, Final

import redis
from sqlalchemy import func, select

from shared import clock
from shared.accounts import set_requests_per_minute
from shared.db.models import jobs
from shared.money.plans import MOST_REQUESTS_PER_MINUTE
from shared.verify import verify
from tests.bench import cpu, peers
from tests.bench.load import NAME, Load, load
from tests.bench.peers import Contender
from tests.bench.stack import Bench, bench
from tests.bench.table import note, row

OURS, BARE = "FusionAI", "the upstream itself"
WARM_CLIENTS, WARM_SECONDS = 16, 3
#: How long a contender may take for the calls that its clients left open: 128, at fewer than a hundred a second.
CALM_SECONDS, LOOK_SECONDS = 5.0, 0.2
#: Of a core, what processes that rest use at most.
RESTING = 0.15
JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Median:
    """The medians of some loads; errors of all of them."""

    per_second: float
    p50: float
    p99: float
    refused: int
    broken: int
    #: CPU a request by process, in microseconds.
    cpu_micros: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, loads: Sequence[Load]) -> "Median":
        per_second, p50, p99 = (
            statistics.median(getattr(one, name) for one in loads) for name in ("per_second", "p50", "p99")
        )
        of_cpu = {role: statistics.median(one.cpu_micros[role] for one in loads) for role in loads[0].cpu_micros}
        return cls(per_second, p50, p99, sum(one.refused for one in loads), sum(one.broken for one in loads), of_cpu)

    @property
    def clean(self) -> bool:
        """Whether every answer was a good one; without that no bar is met."""
        return not self.refused and not self.broken

    @property
    def cpu(self) -> str:
        """CPU a request, by process where there are several."""
        parts = ", ".join(f"{role} {micros:,.0f} µs" for role, micros in self.cpu_micros.items())
        whole = f", all {sum(self.cpu_micros.values()):,.0f} µs" if len(self.cpu_micros) > 1 else ""
        return f"CPU a request: {parts}{whole}"

    def __str__(self) -> str:
        errors = f"ERRORS: {self.refused:,} answers of another status, {self.broken:,} broken connections"
        return f"p50 {self.p50 * 1000:.2f} ms, p99 {self.p99 * 1000:.2f} ms; {'no errors' if self.clean else errors}"


@contextmanager
def contenders(base: str) -> Iterator[tuple[Bench, list[Contender]]]:
    """Ours, whatever peer is installed, and last the upstream that they all call."""
    with ExitStack() as stack:
        url = stack.enter_context(quick_upstream(base))
        found = [stack.enter_context(start(url)) for start in peers.installed()]
        running = stack.enter_context(bench(url, beside=("web", "sweeper"), check=False))
        every = [ours(running, "/v1/chat/completions"), *found, Contender(BARE, f"{url}/v1/chat/completions")]
        for contender in every:
            chat(contender, WARM_CLIENTS, WARM_SECONDS)
        yield running, every
    for missing in peers.absent():
        note(missing)


@contextmanager
def quick_upstream(base: str) -> Iterator[str]:
    """The address of the quickest upstream there is: an nginx of its own where that is installed, else `base`."""
    nginx = peers.nginx()
    note(f"load: {NAME}; upstream: {'nginx' if nginx else 'our own (nginx is not installed)'}")
    with peers.nginx_upstream(nginx) if nginx else nullcontext(base) as url:
        yield url


def ours(running: Bench, path: str) -> Contender:
    """A path of the running system, with a key of an account of its own."""
    customer = running.open_account()
    account = customer.holder.account_id
    running.database.write_sync(set_requests_per_minute, account, MOST_REQUESTS_PER_MINUTE)
    with redis.Redis(port=running.redis.port) as broker:
        redis_pid = broker.info("server")["process_id"]
    pids = {name.rstrip("0"): process.pid for name, process in running.processes.items()}
    order = [role for role in ("web", "worker", "sweeper") if role in pids]
    roles = {role: pids[role] for role in order} | {"Redis": redis_pid}
    return Contender(OURS, f"{running.web}{path}", {"Authorization": f"Bearer {customer.key}"}, roles)


def chat(contender: Contender, clients: int, seconds: int) -> Load:
    """So many clients, each sending the chat again as soon as it is answered; with the CPU that it took."""
    return post(contender, contender.body, clients, seconds, 200)


def post(contender: Contender, body: bytes, clients: int, seconds: int, status: int) -> Load:
    """The same of any body; only answers of `status` are good. CPU is that of each process, idling and all."""
    before = cpu.families(contender.pids)
    found = load(contender.url, JSON | dict(contender.headers), body, clients, seconds, status=status)
    after = cpu.families(contender.pids)
    _calm(contender)
    return replace(found, cpu_micros=cpu.micros_each(before, after, found.good + found.refused))


def ledger_row(running: Bench) -> None:
    """Once all has ended, what is wrong in the rows: without it no rate says anything."""
    ended = running.until(_all_ended, seconds=120)
    violations = running.database.read_sync(verify)
    row(f"the ledger after {ended:,} chats: violations", f"{len(violations)}", "0", not violations)


def count(connection: Any) -> int:
    """How many jobs there are."""
    return int(connection.execute(select(func.count()).select_from(jobs)).scalar_one())


def _calm(contender: Contender) -> None:
    """Calls that the clients left behind would burden who is next: until its processes rest, CALM_SECONDS at most."""
    deadline, pause, used = clock.monotonic() + CALM_SECONDS, Event(), -math.inf
    while (now := sum(cpu.families(contender.pids).values())) - used > RESTING * LOOK_SECONDS:
        if clock.monotonic() > deadline:
            break
        used = now
        pause.wait(LOOK_SECONDS)


def _all_ended(connection: Any) -> int:
    """How many jobs there are, once none is left to be run; 0 before."""
    left = select(jobs.c.id).where(jobs.c.status.in_(("queued", "running"))).limit(1)
    return 0 if connection.execute(left).first() else count(connection)
