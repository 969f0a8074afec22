"""What one producer process owns: its ends of the database, the broker and Redis, and what is made of them."""

import asyncio

from producer.admission.accept import Acceptor
from producer.admission.auth import Keys
from producer.admission.concurrency import AccountConcurrency
from producer.admission.fair_share import FairShare
from producer.admission.limits import Limits
from producer.admission.linking import Linking
from producer.admission.overload import Overload
from producer.admission.thread_turns import Turns
from producer.operations.batch_errors import ErrorsReader
from producer.operations.batch_progress import ProgressReader
from producer.operations.job_summary import JobSummaries
from producer.operations.paying import Paying
from producer.operations.placing import Placer
from producer.waiting.stream_readers import Readers
from producer.waiting.stream_relay import Sources
from producer.waiting.waiters import JobStates, Waiters
from shared.broker.bell import Bell
from shared.db import Database
from shared.entities.resolving import Resolver
from shared.notifier import DONE, Notifier
from shared.providers.statistics_watch import StatisticsWatch
from shared.settings import settings

#: Bodies that are parsed at the same time, on threads.
PARSERS = 3
#: Above this, work on bytes is long: there is always room for what is shorter.
LONG_BYTES = 8 * 1024 * 1024
#: Stored requests of one account that are in memory at the same time.
STORED_REQUESTS = 4


class Context:
    """One a process; made in the event loop that serves; closed by the app's lifespan."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self.database = database
        self.bell = bell
        self.share = FairShare()
        self.keys = Keys(database, self.share)
        self.limits = Limits(settings().redis_url)
        self.acceptor = Acceptor(database, bell)
        self.waiters = Waiters(database)
        self.states = JobStates(database)
        self.overload = Overload(database, bell)
        self.notifier = Notifier(settings().redis_url)
        self.notifier.listen(DONE, self.waiters.heard, self.waiters.ask_all)
        self.readers = Readers(settings().redis_url, database, self.notifier)
        self.parsers = Turns(PARSERS, LONG_BYTES)
        #: Who reads stored requests now, each of which may have tens of megabytes.
        self.stored_requests = AccountConcurrency(STORED_REQUESTS)
        #: Dry runs of batches: each may be seconds of work.
        self.quoting = Turns(2, LONG_BYTES)
        #: Retries of batches, whose files are written while their callers wait.
        self.retrying = asyncio.Semaphore(2)
        self.progress, self.errors = ProgressReader(database), ErrorsReader(database)
        self.summaries = JobSummaries(database)
        self.linking = Linking(database, Resolver(database))
        self.placer = Placer(
            database, self.acceptor, self.overload, self.parsers, self.waiters, self.states, self.linking
        )
        self.paying = Paying(database, bell)
        self._statistics = StatisticsWatch(settings().redis_url).start()
        self.streams = Sources(database, self.waiters, self.states, self.readers)
        #: The server is to stop, and will serve for a moment.
        self.stopping = False
        #: Until when it is believed that the database answers, on the monotonic clock.
        self.ready_until = 0.0
        self._asking = [asyncio.create_task(loop.run()) for loop in (self.waiters, self.overload, self.keys)]

    @property
    def stopped(self) -> bool:
        """The server stops, and the moment for which it still served is over."""
        return self.waiters.released

    def stop_waiting(self) -> None:
        """The server stops: whoever waits for a job, or reads its stream, gets an answer now."""
        self.waiters.release_all()

    async def close(self) -> None:
        """Let what was accepted be woken, then hang up."""
        for loop in self._asking:
            loop.cancel()
        self._statistics.stop()
        self.paying.close()
        await self.acceptor.close()
        await self.keys.close()
        await self.limits.close()
        await self.readers.stop()
        self.linking.resolver.close()
        await self.notifier.close()
