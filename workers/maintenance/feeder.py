"""Tops the broker's window up from the database, in turn over the accounts.

The broker holds about one second of each queue's measured drain and never the backlog: 50,000 jobs of one customer
delay nobody, and its memory does not grow with what waits.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection, func, select, text, update

from shared import clock, crash
from shared.broker.bell import Bell
from shared.db import Database
from shared.db.models import jobs
from shared.db.models.jobs import DEFERRED, QUEUED, TO_WAKE, WOKEN
from shared.jobs.leases import unwake
from shared.jobs.pauses import paused_providers
from shared.jobs.waking import ACCOUNTS, accounts_waiting, mark, queues_waiting
from workers.maintenance.isolation import steps
from workers.maintenance.signs import is_any_queued

#: The window of a queue whose drain is not yet known, in jobs.
FIRST = 1000
#: The smallest, for a queue that drains slowly: what is in the window is ahead of whoever comes now.
LEAST = 200
#: The largest, so that no measurement error can pour a backlog into the broker.
MOST = 20_000
#: Jobs whose deferral is ended in one transaction.
CHUNK = 400
#: How long one pass goes on putting aside what is not due, or ending deferrals, in seconds.
ASIDE_SECONDS = 0.1
#: Jobs woken in one transaction.
MANY = 1000
#: What is due so soon is left where it is, in microseconds.
SOON_MICROS = clock.MICROS


@dataclass(slots=True)
class _Flow:
    """What is known of one queue's drain."""

    window: int = FIRST
    inside: int = 0
    at: float = 0.0
    #: Where the turn over the accounts goes on.
    after: str = ""


@dataclass(slots=True)
class Feeder:
    """The state of one feeding process. Several may run: an id is marked, and rung, by one of them."""

    database: Database
    bell: Bell
    flows: dict[str, _Flow] = field(default_factory=dict)

    def run_once(self, queues: Sequence[str]) -> int:
        """Fill each queue's window once; the number of jobs woken. A queue that cannot be filled stops no other."""
        woken = 0

        def fill(queue: str, inside: int) -> None:
            nonlocal woken
            woken += self._fill(queue, inside)

        if not (self.bell.away or self.database.read_sync(is_any_queued)):
            for queue in queues:
                self._note(queue, 0)
            return 0
        steps({"ending deferrals": self._end_deferrals})
        if self.bell.away and not self.bell.check().result():
            return 0  # what were marked here, workers with room could not find
        self.bell.paused = self.database.read_sync(paused_providers)
        inside, found = self.database.read_sync(survey)
        waiting = {queue for queue in found if not self.bell.is_paused(queue)}
        for queue in set(queues) - waiting:
            self._note(queue, inside.get(queue, 0))
        steps({f"feeding {queue}": partial(fill, queue, inside.get(queue, 0)) for queue in queues if queue in waiting})
        return woken

    def _end_deferrals(self) -> None:
        until = clock.monotonic() + ASIDE_SECONDS
        while self.database.read_sync(is_any_due):
            ended = self.database.write_sync(end_deferrals)
            crash.point("defer.after_end")
            if ended < CHUNK or clock.monotonic() > until:
                return

    def _put_aside(self, queue: str, accounts: Sequence[str]) -> None:
        """All that these accounts had due has been woken: what is left waits for a time."""
        until = clock.monotonic() + ASIDE_SECONDS
        while self.database.write_sync(put_aside, queue, accounts) == CHUNK and clock.monotonic() < until:
            pass

    def _fill(self, queue: str, inside: int) -> int:
        flow = self._measure(queue, inside)
        woken = self._wake(queue, flow, flow.window - inside) if flow.window > inside else 0
        flow.inside, flow.at = inside + woken, clock.monotonic()
        return woken

    def _note(self, queue: str, inside: int) -> None:
        """Of a queue with nothing to wake, what it drains, and that no account waits for its turn."""
        flow = self._measure(queue, inside)
        flow.inside, flow.at, flow.after = inside, clock.monotonic(), ""

    def _measure(self, queue: str, inside: int) -> _Flow:
        flow = self.flows.setdefault(queue, _Flow())
        if flow.at and flow.inside > inside:
            drained_a_second = (flow.inside - inside) / max(clock.monotonic() - flow.at, 0.001)
            flow.window = min(max(LEAST, int((flow.window + drained_a_second) / 2)), MOST)
        return flow

    def _wake(self, queue: str, flow: _Flow, room: int) -> int:
        """Wake up to `room` jobs of the accounts whose turn it is, in transactions of up to MANY; how many."""
        accounts = self.database.read_sync(accounts_waiting, queue, flow.after)
        flow.after = accounts[-1] if len(accounts) == ACCOUNTS else ""
        rung = 0
        while accounts and rung < room:
            most = min(MANY, room - rung)
            woken = self.database.write_sync(mark, queue, accounts, most)
            crash.point("feed.after_mark")
            if woken and not self.bell.ring(queue, woken).result():
                self.database.write_sync(unwake, woken)
                break
            if woken:
                crash.point("feed.after_publish")
            rung += len(woken)
            if len(woken) < most:
                self._put_aside(queue, accounts)
                break
        return rung


def is_any_due(connection: Connection) -> bool:
    """Whether the time of any deferred job has come."""
    due = select(jobs.c.id).where(text(DEFERRED), jobs.c.run_at <= clock.now_micros()).limit(1)
    return connection.execute(due).first() is not None


def put_aside(connection: Connection, queue: str, accounts: Sequence[str]) -> int:
    """Defer up to CHUNK jobs that wait for a time without saying why, as workers of earlier versions left them."""
    waiting = (
        select(jobs.c.id)
        .where(jobs.c.queue == queue, jobs.c.account_id.in_(accounts), jobs.c.run_at > clock.now_micros() + SOON_MICROS)
        .where(text(TO_WAKE))
        .limit(CHUNK)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(waiting).scalars())
    if ids:
        connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(deferred_for="retry"))
    return len(ids)


def survey(connection: Connection) -> tuple[Mapping[str, int], Set[str]]:
    """How many of each queue have been woken and not yet leased, and the queues that have jobs to wake."""
    return woken_by_queue(connection), set(queues_waiting(connection))


def woken_by_queue(connection: Connection) -> Mapping[str, int]:
    """How many jobs of each queue have been woken and not yet leased."""
    statement = select(jobs.c.queue, func.count()).where(text(WOKEN)).group_by(jobs.c.queue)
    return {queue: count for queue, count in connection.execute(statement)}


def end_deferrals(connection: Connection) -> int:
    """Let up to CHUNK jobs whose time has come be woken, the earliest first; how many."""
    due = (
        select(jobs.c.id)
        .where(text(DEFERRED), jobs.c.run_at <= clock.now_micros())
        .order_by(jobs.c.run_at)
        .limit(CHUNK)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(due).scalars())
    if ids:
        still = update(jobs).where(jobs.c.id.in_(ids), text(QUEUED))
        connection.execute(still.values(deferred_for=None, woken_at=None))
    return len(ids)
