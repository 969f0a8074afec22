"""Has purchases paid, for callers of the web process: on threads of their own, since the provider may be slow."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from producer.admission.run_once import ring_deliveries
from shared import logs
from shared.broker.bell import Bell
from shared.db import Database
from shared.payments import payments
from shared.payments.collecting import Collector
from shared.payments.protocol import Notice, PaymentsAway

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Calls of the provider at a time; who comes when as many wait is served by the sweeper.
THREADS: Final = 4
MOST_WAITING: Final = 16
#: What the provider says is written down on threads of its own, however slow its answers to others are.
HEEDING_THREADS: Final = 2


class Paying:
    """One a web process."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._bell = bell
        self.collector = Collector(database, payments())
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="payments")
        self._heeding = ThreadPoolExecutor(HEEDING_THREADS, thread_name_prefix="payments-told")
        self._waiting = 0

    @property
    def provider(self) -> str:
        """The name of the payment provider."""
        return self.collector.payments.name

    async def begin(self, invoice_id: str) -> None:
        """Have the page made at which an open invoice is paid; if the provider is away, the sweeper has it made later.

        PaymentRefused, and the invoice is void, if the provider will not have it.
        """
        if self.provider == "manual" or self._waiting >= MOST_WAITING:
            return
        try:
            ring_deliveries(self._bell, await self._on_thread(lambda: self.collector.advance(invoice_id)))
        except PaymentsAway as error:
            log.warning("the page to pay invoice %s is made later: %s", invoice_id, logs.kind(error))

    async def withdraw(self, invoice_id: str) -> None:
        """See to it that an open invoice is not paid at the provider any more; 409 if it is too late, or 503."""
        ring_deliveries(self._bell, await self._on_thread(lambda: self.collector.withdraw(invoice_id)))

    async def heed(self, payload: bytes, signature: str | None) -> Notice:
        """Do what the provider's message says; 400 for one that it did not sign, or not for this server."""
        notice = self.collector.payments.read_notice(payload, signature)
        heeded = asyncio.get_running_loop().run_in_executor(self._heeding, self.collector.heed, notice)
        ring_deliveries(self._bell, await heeded)
        return notice

    def close(self) -> None:
        """Let no call begin any more."""
        for threads in (self._threads, self._heeding):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _on_thread(self, work: Callable[[], T]) -> T:
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
