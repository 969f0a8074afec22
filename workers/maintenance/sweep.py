"""The sweeper: finds in the rows what dead processes left undone, and repairs it, each second.

`run_once` is the whole of it, harmless when several run at once. `python -m workers.maintenance.sweep` runs
until SIGTERM.
"""

import argparse
import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from shared import clock, crash, db, logs
from shared.batches import callbacks as batch_callbacks
from shared.batches import key_holds
from shared.broker.bell import FULL_MESSAGES, Bell, bell
from shared.db import Database, schema
from shared.jobs import callbacks as job_callbacks
from shared.jobs import leases, response_events
from shared.jobs.pauses import paused_providers
from shared.money import grants
from shared.queues import WEBHOOKS
from shared.settings import keep_private, settings
from shared.stopping import on_signals
from shared.submissions.catalogue import job_queues
from workers.maintenance import key_counts, recovery
from workers.maintenance.chunks import in_chunks
from workers.maintenance.credit_admission import CreditAdmission
from workers.maintenance.doorbells import (
    YOUNG_SECONDS,
    DoorbellWatch,
    lost_before,
    newest_doorbells,
    unanswered,
    unwake_lost,
)
from workers.maintenance.feeder import Feeder
from workers.maintenance.isolation import Isolator, steps
from workers.maintenance.lapser import Lapser
from workers.maintenance.overdue import CHUNK, end_overdue, overdue
from workers.maintenance.payments import PaymentRounds
from workers.maintenance.probation import ProbationSupervisor
from workers.maintenance.purge import purge_all
from workers.maintenance.retention import Retention
from workers.maintenance.signs import Sign, seen
from workers.maintenance.staleness import DueWatch, RingWatch
from workers.maintenance.tally import SweepTally
from workers.maintenance.turning import Turner
from workers.webhooks.due import DUE_SECONDS, due_deliveries

log = logging.getLogger(__name__)

#: What a sweeper counts: worker processes that had ended, their jobs, jobs past their deadline or cancelled, jobs and
#: deliveries sent to the broker.
DONE = ("workers_ended", "jobs_taken_back", "jobs_ended", "jobs_queued", "deliveries_queued")


class Sweeper:
    """One sweeping process's state: what it has watched, which rows it passes over. Any number may run at once."""

    def __init__(self, database: Database, ring: Bell, probation: ProbationSupervisor | None = None) -> None:
        self._database = database
        self._bell = ring
        self._probation = probation
        self.feeder = Feeder(database, ring)
        self._turner = Turner(database)
        self._credit = CreditAdmission(database)
        self.retention = Retention(database)
        self.payments = PaymentRounds(database, ring)
        self._lapser = Lapser(database)
        self._doorbells = DoorbellWatch(YOUNG_SECONDS)
        self._due = DueWatch(DUE_SECONDS)
        self._rings = RingWatch()
        self._taking: Isolator[tuple[int, list[str]]] = Isolator("requeuing job")
        self._ending: Isolator[tuple[int, list[str]]] = Isolator("ending overdue job")
        self._expiring: Isolator[tuple[int, list[str]]] = Isolator("expiring grants of account")
        self._telling: Isolator[tuple[int, list[str]]] = Isolator("writing the event of response")
        self._mending: Isolator[None] = Isolator("counting in a budget batch")
        self._counting: Isolator[tuple[int, list[str]]] = Isolator("counting in a budget job")
        self._calling_back: Isolator[tuple[int, list[str]]] = Isolator("writing the callback of")
        #: What there was to do at the last look, of what is looked for; None: that is not known.
        self._seen: set[Sign] | None = None
        #: What it has done since it began; the keys are those of DONE.
        self.done: Counter[str] = Counter()

    def run_once(self) -> None:
        """Everything once: lapses, expiries, cancels, lost doorbells, due deliveries, feeding, retention."""
        try:
            steps({**self._repairs(), **self._slow_rounds()})
        except Exception:
            self._lapser.doubt()
            raise

    def _repairs(self) -> dict[str, Callable[[], object]]:
        """What is done in each sweep, in this order, by its name in the log."""
        return {
            "ending expired worker leases": self.lapse,
            "looking for what is to be done": self._look,
            "requeuing jobs of lost workers": self._if_seen("held", self.take_back),
            "ending overdue jobs": self._if_seen("overdue", self.end_overdue),
            "writing events of responses": self._if_seen("untold", self.tell_responses),
            "counting jobs in budgets of keys": self._if_seen("uncounted", self.count_in_budgets),
            "writing callbacks": self._if_seen("callbacks", self.tell_callbacks),
            "expiring grants": self._if_seen("grants", self.expire_grants),
            "renaming foreign Redis keys": lambda: self._bell.set_aside().result(),
            "finding lost doorbells": self.find_lost_doorbells,
            "letting in jobs that waited for credit": self.admit,
            "queuing due deliveries": self.ring_due_deliveries,
            "turning jobs of paused providers": self._if_seen("paused", self.turn),
            "feeding": self.feed,
            "purging": self._if_seen("purge", lambda: purge_all(self._database)),
        }

    def _slow_rounds(self) -> dict[str, Callable[[], object]]:
        """What goes on beside the sweeps of a process, and is done to its end by a single one."""
        if self._probation is None:
            return {"retention": self.retention.run_once, "payments": self.payments.run_once}
        turns = {"retention": self.retention.turn, "payments": self.payments.turn}
        return {**turns, "probation": self._probation.run_once}

    def _look(self) -> None:
        self._seen = None
        self._seen = self._database.read_sync(seen)

    def _if_seen(self, sign: Sign, step: Callable[[], object]) -> Callable[[], object]:
        """The same step, which is left out when there is nothing for it to do."""
        return lambda: step() if self._seen is None or sign in self._seen else None

    def lapse(self) -> None:
        """End the leases of workers that have fallen silent."""
        self.done["workers_ended"] += self._lapser.run_once()

    def take_back(self) -> None:
        """Queue again what lapsed incarnations still hold."""
        while ids := self._database.read_sync(recovery.held_by_lapsed, self._taking.besides()):
            taken = self._end(self._taking, ids, recovery.take_back)
            self.done["jobs_taken_back"] += taken
            if not taken:
                break

    def end_overdue(self) -> None:
        """End jobs past their deadline, and flagged ones that came back to the queue."""
        while ids := self._database.read_sync(overdue, self._ending.besides()):
            ended = self._end(self._ending, ids, end_overdue)
            self.done["jobs_ended"] += ended
            crash.point("expire.after_commit")
            if ended < CHUNK // 2:
                break

    def tell_responses(self) -> None:
        """Write the events of responses whose jobs were ended by a worker that does not know them."""
        if ids := self._database.read_sync(response_events.untold, CHUNK, self._telling.besides()):
            self._end(self._telling, ids, response_events.tell)

    def count_in_budgets(self) -> None:
        """Count in budgets of keys what was ended by processes that do not know them."""
        batches, passed_over = self._database.read_sync(key_holds.unmended, CHUNK), self._mending.besides()
        self._mending.each([id for id in batches if id not in passed_over], self._mend)
        if ids := self._database.read_sync(key_counts.uncounted, CHUNK, self._counting.besides()):
            self._end(self._counting, ids, key_counts.count)

    def _mend(self, batches: Sequence[str]) -> None:
        for id in batches:
            while self._database.write_sync(key_holds.mend, id):
                pass

    def tell_callbacks(self) -> None:
        """Write the deliveries to callbacks of what was ended by a version that does not know them: jobs, batches."""
        for owing in (job_callbacks, batch_callbacks):
            if ids := self._database.read_sync(owing.untold, CHUNK, self._calling_back.besides()):
                self._end(self._calling_back, ids, owing.tell)

    def expire_grants(self) -> None:
        """Take what is unspent of grants that have expired, and write the events of those that soon will."""
        while ids := self._database.read_sync(_expiring, self._expiring.besides()):
            done = self._end(self._expiring, ids, _expire)
            crash.point("grant.after_commit")
            if done < grants.ACCOUNTS:
                break

    def find_lost_doorbells(self) -> None:
        """Leave jobs whose message is lost to the feeder: queue empty at every look for a while, or overtaken; or their
        first lease is over, and nobody has written it.
        """
        try:
            newest = self._database.read_sync(newest_doorbells)
        except Exception:
            self._doorbells.forget()
            raise
        empty = {queue: at for queue, at in newest.items() if self._bell.depth(queue).result() == 0}
        before = self._doorbells.look(empty, clock.elapsed())
        if newest:
            limits = self._database.read_sync(lost_before, before)
            for queue, limit in sorted(limits.items()):
                in_chunks(self._database, partial(unwake_lost, queue=queue, limit=limit))
            while late := self._database.read_sync(unanswered):
                self._database.write_sync(leases.unwake, late)

    def ring_due_deliveries(self) -> None:
        """Ring for deliveries that nobody is sending, while their queue has room; seldom for what was rung already."""
        due = self._database.read_sync(due_deliveries)
        there = self._due.look((id for id, at in due if not at), clock.elapsed())
        waiting = {id: at for id, at in due if at or id in there}
        depth = self._bell.depth(WEBHOOKS).result() if waiting else None
        if waiting and (depth is None or depth >= FULL_MESSAGES):
            return
        if ids := self._rings.look(waiting, clock.elapsed()):
            if not self._bell.ring(WEBHOOKS, ids).result():
                self._rings.lose(ids)
            self.done["deliveries_queued"] += len(ids)

    def admit(self) -> None:
        """Hold for jobs that wait for credit, where their accounts have it by now."""
        if deliveries := self._credit.run_once():
            self._bell.ring(WEBHOOKS, deliveries).result()

    def turn(self) -> None:
        """Let queued jobs of paused providers go on with another offer of theirs, where they have one."""
        self._turner.run_once(self._database.read_sync(paused_providers))

    def feed(self) -> None:
        """Top up the broker's window."""
        self.done["jobs_queued"] += self.feeder.run_once(job_queues())

    def feed_often(self) -> None:
        """What is done between two sweeps."""
        steps({"letting in jobs that waited for credit": self.admit, "feeding": self.feed})

    def _end(
        self,
        isolator: Isolator[tuple[int, list[str]]],
        ids: Sequence[str],
        work: Callable[[Connection, Sequence[str]], tuple[int, list[str]]],
    ) -> int:
        done = isolator.each(ids, lambda some: self._database.write_sync(work, some))
        if deliveries := [id for _, due in done for id in due]:
            self._bell.ring(WEBHOOKS, deliveries).result()
        return sum(touched for touched, _ in done)


def _expiring(connection: Connection, besides: Sequence[str]) -> list[str]:
    return grants.due(connection, db.now(connection), besides)


def _expire(connection: Connection, account_ids: Sequence[str]) -> tuple[int, list[str]]:
    done = grants.expire(connection, account_ids, db.now(connection))
    crash.point("grant.before_commit")
    return done


def main() -> None:
    """Sweep until SIGTERM, feeding more often; or once, with `--once`, and say what was done."""
    parser = argparse.ArgumentParser(prog="workers.maintenance.sweep")
    parser.add_argument("--once", action="store_true", help="one sweep; prints what it did as JSON, then exits")
    once = parser.parse_args().once
    logs.start()
    keep_private()
    schema.require(settings().database_url)
    database = Database(settings().database_url)
    probation = None if once else ProbationSupervisor(database, recovery.lapse_one)
    sweeper = Sweeper(database, bell(), probation)
    if probation is None:
        sweeper.run_once()
        print(json.dumps({name: sweeper.done[name] for name in DONE}))
    else:
        bell().greet()
        _sweep_until_stopped(sweeper, SweepTally(database))
        probation.stop()
    sweeper.retention.close()
    sweeper.payments.close()
    bell().close()
    database.close()


def _sweep_until_stopped(sweeper: Sweeper, tally: SweepTally) -> None:
    stop = on_signals()
    swept = 0.0
    while not stop.wait(settings().feed_seconds):
        try:
            if clock.monotonic() - swept >= settings().sweep_seconds:
                swept = clock.monotonic()
                sweeper.run_once()
                tally.add()
            else:
                sweeper.feed_often()
        except Exception as error:
            log.error("the sweep failed, trying again: %s", logs.kind(error))


if __name__ == "__main__":
    main()
