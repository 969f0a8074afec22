"""Synchronous chat through queue, database and ledger, beside proxies that keep nothing; and jobs accepted a second.

All send the same chat to the same local upstream, which answers at once. They are up at the same time and measured in
turn. Ours is what `fusionai up` runs: one web process, one worker, a sweeper, Redis, durable SQLite; its account has a
limit of requests a minute, which is counted, and is too high to be reached.
"""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import orjson
import redis
from sqlalchemy import func, select

from shared.accounts import set_requests_per_minute
from shared.db.models import jobs
from shared.money.plans import MOST_REQUESTS_PER_MINUTE
from shared.verify import verify
from tests.bench import peers
from tests.bench.load import NAME, Load, load
from tests.bench.peers import CHAT, Contender
from tests.bench.stack import Bench, bench
from tests.bench.table import in_turn, note, row

OURS, PEER, BARE = "FusionAI", "LiteLLM", "the upstream itself"
CLIENTS, ACCEPT_CLIENTS = 16, 64
WARM_SECONDS = 3
BAR_TIMES = 3.0
BAR_ACCEPTED_PER_SECOND = 1500
JSON = {"Content-Type": "application/json"}
JOB = orjson.dumps({"type": "chat.completion", **orjson.loads(CHAT)})


@dataclass(frozen=True, slots=True)
class Median:
    """The medians of some loads; errors of all of them."""

    per_second: float
    p50: float
    p99: float
    refused: int
    broken: int

    @classmethod
    def of(cls, loads: Sequence[Load]) -> "Median":
        per_second, p50, p99 = (
            statistics.median(getattr(one, name) for one in loads) for name in ("per_second", "p50", "p99")
        )
        return cls(per_second, p50, p99, sum(one.refused for one in loads), sum(one.broken for one in loads))

    @property
    def clean(self) -> bool:
        """Whether every answer was a good one; without that no bar is met."""
        return not self.refused and not self.broken

    def __str__(self) -> str:
        errors = f"ERRORS: {self.refused:,} answers of another status, {self.broken:,} broken connections"
        return f"p50 {self.p50 * 1000:.2f} ms, p99 {self.p99 * 1000:.2f} ms; {'no errors' if self.clean else errors}"


def chat_rows(base: str, seconds: int, runs: int) -> None:
    """16 clients and one, of everything that is installed."""
    with ExitStack() as stack:
        running, contenders = stack.enter_context(_contenders(base))
        for contender in contenders:
            _chat(contender, CLIENTS, WARM_SECONDS)
        measures = [
            lambda contender=contender, clients=clients: _chat(contender, clients, seconds)
            for clients in (CLIENTS, 1)
            for contender in contenders
        ]
        found = [Median.of(loads) for loads in in_turn(runs, *measures)]
        peaks = {contender.name: peers.peak_megabytes(contender.pids) for contender in contenders}
        ended = running.until(_all_ended, seconds=60)
        violations = running.database.read_sync(verify)
    names = [contender.name for contender in contenders]
    crowd = dict(zip(names, found[: len(names)], strict=True))
    alone = dict(zip(names, found[len(names) :], strict=True))
    _print_crowd(crowd, peaks)
    _print_alone(alone)
    row(f"the ledger after {ended:,} chats: violations", f"{len(violations)}", "0", not violations)
    for missing in peers.absent():
        note(missing)


def accept_rows(base: str, seconds: int, runs: int) -> None:
    """POST /v1/jobs, one job a request, with nobody to run them; each 202 must be a row."""
    with bench(base, workers=0, beside=("web", "sweeper"), check=False) as running:
        contender = _ours(running, "/v1/jobs")
        _post(contender, JOB, ACCEPT_CLIENTS, WARM_SECONDS, 202)
        loads = []
        for _ in range(runs):
            before = running.database.read_sync(_count)
            loads.append(_post(contender, JOB, ACCEPT_CLIENTS, seconds, 202))
            stored = running.database.read_sync(_count) - before
            assert stored >= loads[-1].good, f"{loads[-1].good:,} were told 202, {stored:,} jobs are there"
        violations = running.database.read_sync(verify)
    found = Median.of(loads)
    met = found.per_second >= BAR_ACCEPTED_PER_SECOND and found.clean
    what = f"POST /v1/jobs, one job each, {ACCEPT_CLIENTS} clients, no worker: durable 202s"
    row(what, f"{found.per_second:,.0f}/s", f"{BAR_ACCEPTED_PER_SECOND:,}/s", met)
    note(str(found))
    row("the ledger after them: violations", f"{len(violations)}", "0", not violations)


@contextmanager
def _contenders(base: str) -> Iterator[tuple[Bench, list[Contender]]]:
    """Ours, whatever peer is installed, and the upstream they all call: nginx when it is installed, else `base`."""
    nginx, litellm, portkey = peers.nginx(), peers.litellm(), peers.portkey()
    with ExitStack() as stack:
        url = stack.enter_context(peers.nginx_upstream(nginx) if nginx else nullcontext(base))
        note(f"load: {NAME}; upstream: {'nginx' if nginx else 'our own (nginx is not installed)'}")
        found = []
        if litellm:
            found.append(stack.enter_context(peers.litellm_proxy(litellm, url)))
        if portkey:
            found.append(stack.enter_context(peers.portkey_gateway(portkey, url)))
        running = stack.enter_context(bench(url, beside=("web", "sweeper"), check=False))
        yield running, [_ours(running, "/v1/chat/completions"), *found, Contender(BARE, f"{url}/v1/chat/completions")]


def _ours(running: Bench, path: str) -> Contender:
    customer = running.open_account()
    account = customer.holder.account_id
    running.database.write_sync(set_requests_per_minute, account, MOST_REQUESTS_PER_MINUTE)
    with redis.Redis(port=running.redis.port) as broker:
        redis_pid = broker.info("server")["process_id"]
    pids = [process.pid for process in running.processes.values()]
    return Contender(OURS, f"{running.web}{path}", {"Authorization": f"Bearer {customer.key}"}, (*pids, redis_pid))


def _chat(contender: Contender, clients: int, seconds: int) -> Load:
    return _post(contender, CHAT, clients, seconds, 200)


def _post(contender: Contender, body: bytes, clients: int, seconds: int, status: int) -> Load:
    return load(contender.url, JSON | dict(contender.headers), body, clients, seconds, status=status)


def _print_crowd(crowd: dict[str, Median], peaks: dict[str, float]) -> None:
    for name, found in crowd.items():
        row(f"synchronous chat, {CLIENTS} clients: {name}", f"{found.per_second:,.0f}/s")
        memory = f"; peak memory {peaks[name]:,.0f} MB" if peaks[name] else ""
        note(f"{found}{memory}")
    for name, found in crowd.items():
        if name not in (OURS, BARE):
            times = crowd[OURS].per_second / found.per_second
            judged = (f"{BAR_TIMES:g}", times >= BAR_TIMES and crowd[OURS].clean) if name == PEER else ()
            row(f"{OURS} : {name}", f"{times:.2f}", *judged)


def _print_alone(alone: dict[str, Median]) -> None:
    added = {name: (found.p50 - alone[BARE].p50) * 1000 for name, found in alone.items()}
    for name, found in alone.items():
        if name != BARE:
            met = found.clean and added[name] <= added.get(PEER, 0.0)
            judged = (f"{added[PEER]:.2f} ms", met) if name == OURS and PEER in added else ()
            row(f"synchronous chat, one client, added p50: {name}", f"{added[name]:.2f} ms", *judged)
            note(f"{found}; the upstream itself p50 {alone[BARE].p50 * 1000:.2f} ms")


def _all_ended(connection: Any) -> int:
    """How many jobs there are, once none is left to be run; 0 before."""
    left = select(jobs.c.id).where(jobs.c.status.in_(("queued", "running"))).limit(1)
    return 0 if connection.execute(left).first() else _count(connection)


def _count(connection: Any) -> int:
    return int(connection.execute(select(func.count()).select_from(jobs)).scalar_one())
