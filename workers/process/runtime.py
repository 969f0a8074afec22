"""What one worker process owns: its event loop (in a thread), HTTP clients, database, lease, engine and webhook sender.

Everything is made in the process itself, after any fork.
"""

import asyncio
import logging
import os
import resource
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import uvloop

from shared import processes
from shared.broker.bell import bell
from shared.db import Database
from shared.notifier import CANCEL, Notifier
from shared.queues import LANES, WEBHOOKS, lane_of, queue_name
from shared.settings import settings
from shared.settings_values import allow_list
from shared.stopping import stop
from shared.submissions.catalogue import catalogue
from shared.submissions.steps.grounding import SEARCH
from workers import pacing, providers
from workers.process.loop_consumer import LoopConsumer, Offer
from workers.running.attempts import Attempts
from workers.running.engine import Engine
from workers.running.lease import Incarnation
from workers.running.polling import Poller
from workers.running.publisher import Publisher
from workers.running.settler import Settler
from workers.running.slots import Slots
from workers.search.upstream import WebSearch
from workers.webhooks import client
from workers.webhooks.due import due_ids
from workers.webhooks.sender import Sender

log = logging.getLogger(__name__)

#: The exit status of a process whose lease is over; its supervisor starts another.
LEASE_OVER = 75
#: How long such a process winds down, and then at most waits for the database to take down why, in seconds.
WIND_DOWN_SECONDS, EXPLAIN_SECONDS = 10.0, 60.0
#: How long Redis may keep us from stopping to take messages, in seconds.
STOP_TAKING_SECONDS = 2.0


class Runtime:
    """Start it once; `offer` and `deliver` may be called from any thread."""

    def __init__(
        self,
        *,
        consume: Callable[[str, bool], None] = lambda queue, on: None,
        reconcile: Callable[[], None] = lambda: None,
        listens: Callable[[Sequence[str], Offer], LoopConsumer] | None = None,
        slots: Mapping[str, int] | None = None,
        probation: bool = False,
        worker_id: str | None = None,
    ) -> None:
        """`slots`: how many by queue, where that is not for the settings to say. `listens` makes what takes messages on
        the event loop; None: all come by `offer`.
        """
        self._consume = consume
        self._reconcile = reconcile
        self._listens = listens
        self._loop_consumer: LoopConsumer | None = None
        self._taking: asyncio.Task[None] | None = None
        self._capacities = slots
        self._probation = probation
        self._worker_id = worker_id
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)
        self._over = False

    def start(self) -> None:
        """Take a lease and be ready for jobs."""
        _raise_file_limit()
        processes.collect_seldom()
        processes.take_small_pages()
        processes.switch_often()
        self._database = Database(settings().database_url)
        self.incarnation = Incarnation(
            self._database,
            probation=self._probation,
            id=self._worker_id,
            lost=self._lost,
            cancelled=lambda ids: self._call(self.engine.cancel, ids),
            held=lambda held: self._call(self.engine.reconcile, held),
        )
        self._thread.start()
        self.run(self._build())
        self.incarnation.start()
        self._call(self._start_taking)  # not before its row is there, without which no lease is good

    def offer(self, queue: str, ids: Sequence[str], *, first: bool = False) -> None:
        """Jobs that wait on a queue. `first`: this process alone has been given their first lease."""
        self._call(self._offered, queue, ids, first)

    def deliver(self, ids: Sequence[str]) -> None:
        """Webhook deliveries that are due."""
        self._call(self._delivered, ids)

    def stop_leasing(self) -> None:
        """Take nothing more; safe in a signal handler."""
        if self._loop_consumer is not None:
            self._loop_consumer.stop()
        self._call(self.engine.stop_leasing)

    def stop(self) -> None:
        """Drain to the limit, hand back the rest, give up the lease."""
        if not self._over:
            self._over = True
            self.run(self._wind_down(settings().drain_seconds))
            self.incarnation.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        bell().close()
        self._database.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Await something on the loop, from another thread."""
        return self.begin(work).result()

    def begin(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        """The same without waiting."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def read(self, fn: Callable[..., Any], *args: Any) -> Any:
        """One read transaction, on the calling thread."""
        return self._database.read_sync(fn, *args)

    def _call(self, fn: Callable[..., None], *args: Any) -> None:
        self._loop.call_soon_threadsafe(fn, *args)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _build(self) -> None:
        slots = Slots(self._capacities or capacities())
        self._connect(sum(slots.capacity(queue) for queue in slots.queues))
        self.sender = Sender(self._database, self._outbound)
        self.settler = Settler(self._database, self._notifier, self._ring)
        upstreams = {**providers.connect(catalogue(), self._client), SEARCH: self._search}
        attempts = Attempts(
            upstreams, self._pace, self._publisher, statistics=self._statistics, paused=lambda: bell().paused
        )
        consume = self._consume
        if self._listens is not None:
            self._loop_consumer = self._listens([q for q in slots.queues if lane_of(q) == "realtime"], self._offered)
            consume = self._loop_consumer.switch
        self.engine = Engine(self._database, self.incarnation.id, attempts, slots, self.settler, consume=consume)
        self.engine.start()
        due = due_ids if serves(WEBHOOKS) else None
        self._poller = Poller(self._database, bell(), slots, self.engine.offer, self.sender.offer, due)
        self._polling = None if self._probation else asyncio.create_task(self._poller.run())
        self._notifier.listen(CANCEL, self.engine.cancel)
        self._ticking = asyncio.create_task(self._tick())

    def _connect(self, in_flight: int) -> None:
        """Make the clients of providers, webhooks and Redis."""
        self._client = providers.http_client(in_flight)
        self._search = WebSearch(settings())
        self._outbound = client.client(
            allow_loopback=settings().webhooks_allow_loopback,
            allow_private=settings().webhooks_allow_private,
            listed=allow_list(settings().webhooks_allow),
        )
        self._notifier = Notifier(settings().redis_url)
        self._publisher = Publisher(settings().redis_url)
        self._pace = pacing.connect(settings(), catalogue(), self.incarnation.id)
        self._statistics = pacing.Recorder(settings().redis_url)

    def _delivered(self, ids: Sequence[str]) -> None:
        self._poller.heard(WEBHOOKS)
        self.sender.offer(ids)

    def _offered(self, queue: str, ids: Sequence[str], first: bool) -> None:
        self._poller.heard(queue)
        self.engine.offer(queue, ids, first=first)

    def _ring(self, deliveries: Sequence[str]) -> None:
        """New deliveries: sent from here at once, or else on their queue, where any process with room takes them.

        Not by the probation process, which may end at any moment, nor by one that stops.
        """
        if serves(WEBHOOKS) and not (self._probation or self._over):
            deliveries = self.sender.take(deliveries)
        if deliveries:
            bell().ring(WEBHOOKS, deliveries)

    async def _tick(self) -> None:
        while True:
            self.incarnation.tick()
            self._reconcile()
            if self.incarnation.expiring and not self._over:
                threading.Thread(target=self._lost, args=("its lease is about to expire",), name="over").start()
            await asyncio.sleep(min(1.0, settings().beat_seconds / 4))

    def _start_taking(self) -> None:
        if self._loop_consumer is not None:
            self._taking = asyncio.create_task(self._loop_consumer.run())

    async def _stop_taking(self, seconds: float) -> None:
        """Take no more messages."""
        if self._loop_consumer is not None and self._taking is not None:
            self._loop_consumer.stop()
            if seconds:
                await asyncio.wait([self._taking], timeout=min(seconds, STOP_TAKING_SECONDS))
            await stop(self._taking)

    async def _wind_down(self, drain_seconds: float) -> None:
        self.engine.stop_leasing()
        await self._stop_taking(drain_seconds)
        if self._polling is not None:
            self._polling.cancel()
        await self.engine.stop(drain_seconds)
        await self.sender.stop()
        await self._pace.close()
        await self._statistics.close()
        await self._publisher.close()
        self._ticking.cancel()
        await self._notifier.close()
        await self._client.aclose()
        self._search.close()
        await self._outbound.aclose()

    def _lost(self, reason: str) -> None:
        """The lease is over: stop calling now, let late answers be refused by the rows, say why, and exit."""
        if self._over:
            return
        self._over = True
        guard = threading.Timer(WIND_DOWN_SECONDS, self._exit)
        guard.daemon = True
        guard.start()
        try:
            self.run(self._wind_down(0))
            log.error("the lease was lost; %d late results were discarded", self.settler.stale)
        finally:
            self._exit()

    def _exit(self) -> None:
        """Exit, once it is recorded why: until the database is back, a successor could do nothing either."""
        self.incarnation.explain_end(EXPLAIN_SECONDS)
        os._exit(LEASE_OVER)


def capacities() -> dict[str, int]:
    """Slots by queue, of the queues that this process serves."""
    sizes = {"realtime": settings().slots_realtime, "batch": settings().slots_batch}
    every = {queue_name(name, lane): sizes[lane] for name in catalogue().queued for lane in LANES}
    return {name: size for name, size in every.items() if serves(name)}


def serves(queue: str) -> bool:
    """Whether this process serves a queue, by its settings."""
    wanted = {name.strip() for name in settings().queues.split(",") if name.strip()}
    return not wanted or queue in wanted


def _raise_file_limit() -> None:
    """A connection a call in flight: take all the descriptors that the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
