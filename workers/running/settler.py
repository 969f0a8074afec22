"""Settles the outcomes of many jobs in one transaction, then notifies the processes that wait for them."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection

from shared import crash, logs
from shared.db import Database, is_away
from shared.db.batcher import Batcher
from shared.db.on_the_spot import is_little
from shared.errors import InternalError
from shared.jobs import done_hints, transitions
from shared.jobs.outcomes import Ending, Requeue, Settled, Verdict
from shared.notifier import DONE, Notifier
from shared.submissions.usage_shown import KEPT_OF_RESULTS

log = logging.getLogger(__name__)

JobOutcome = Ending | Requeue

#: Outcomes in one transaction.
MOST = 400


class Settler:
    """Gathers outcomes and settles them in groups; an outcome that cannot be stored ends its job `internal_error`."""

    def __init__(self, database: Database, notifier: Notifier, deliver: Callable[[list[str]], None]) -> None:
        self._database = database
        self._notifier = notifier
        self._deliver = deliver
        self._batcher: Batcher[JobOutcome, Verdict] = Batcher(self._flush, most=MOST)
        #: Since the start of this process.
        self.stale = 0

    async def __call__(self, outcome: JobOutcome, *, patient: bool = False) -> Verdict:
        """Store an outcome; `stale` when the job was no longer this process's. `patient`: it has time for others."""
        try:
            return await self._batcher(outcome, patient=patient)
        except Exception as error:
            if is_away(error) or (isinstance(outcome, Ending) and outcome.error is not None):
                raise
            if isinstance(outcome, Requeue):
                log.error(
                    "could not requeue job %s with its attempts: %s",
                    outcome.job_id,
                    logs.kind(error),
                )
                reason = "error" if outcome.deferred_for else None
                return await self._batcher(dataclasses.replace(outcome, attempts=None, deferred_for=reason))
            log.error("could not store the result of job %s, failing it: %s", outcome.job_id, logs.kind(error))
            return await self._batcher(_unstorable(outcome))

    async def drain(self) -> None:
        """Until all that was given has been stored."""
        await self._batcher.drain()

    async def _flush(self, outcomes: Sequence[JobOutcome]) -> Sequence[Verdict]:
        write = self._database.write_few if is_little(len(outcomes), _sizes(outcomes)) else self._database.write
        settled = await write(_settle, outcomes)
        crash.point("settle.after_commit")
        verdicts = [settled.verdicts[outcome.job_id] for outcome in outcomes]
        self.stale += verdicts.count("stale")
        endings = [outcome for outcome in outcomes if isinstance(outcome, Ending)]
        if endings:
            done = [ending for ending in endings if settled.verdicts[ending.job_id] == "done"]
            self._notifier.publish(DONE, done_hints.message(done))
        else:
            crash.point("requeue.after_commit")
        if settled.deliveries:
            self._deliver(settled.deliveries)
        crash.point("tell.after")
        return verdicts


def _sizes(outcomes: Sequence[JobOutcome]) -> Iterator[int]:
    """How long the answers are that are kept of each: its own, and that of a step which another follows."""
    for outcome in outcomes:
        if isinstance(outcome, Ending):
            yield len(outcome.response or outcome.partial or "")
        if outcome.step is not None:
            yield len(outcome.step.answer or "")


def _settle(connection: Connection, outcomes: Sequence[JobOutcome]) -> Settled:
    settled = transitions.settle(connection, outcomes)
    crash.point("settle.before_commit")
    return settled


def _unstorable(ending: Ending) -> Ending:
    """The same job's end without what the database would not take; nothing is charged but what was sent on before."""
    failed = dataclasses.replace(
        ending,
        status="failed",
        response=None,
        partial=None,
        error=InternalError("the result could not be stored").as_json(),
        attempts=(),
        images=0,
        excess_micros=0,
    )
    if ending.relayed:
        return failed
    nothing: dict[str, Any] = dict.fromkeys(KEPT_OF_RESULTS)
    return dataclasses.replace(
        failed, prompt_tokens=0, completion_tokens=0, estimated=False, charge_micros=0, service_tier="", **nothing
    )
