"""Payments: automatic top-ups are made, and the provider is asked about purchases of which it has not told anything.

A message of the provider may be lost, and whoever was at a purchase may have died: what is to be done stands in the
rows. The provider may be slow, so a sweeper that goes on has this done on a thread of its own.
"""

import logging
import threading
from typing import Final

from shared import logs
from shared.broker.bell import Bell
from shared.db import Database, is_away
from shared.errors import InvalidRequest
from shared.money import payment_attempts, purchases, top_ups
from shared.payments import payments
from shared.payments.collecting import Collector
from shared.payments.protocol import KEY_USED, PaymentRefused, PaymentsAway
from shared.queues import WEBHOOKS
from workers.maintenance.isolation import Isolator

log = logging.getLogger(__name__)

#: Purchases whose provider is asked in one round.
MOST: Final = 20
#: How long the end of a process waits for a round, in seconds. Cut short, it harms nothing.
LAST_SECONDS: Final = 5.0


class PaymentRounds:
    """One process's part in it; any number may run at once. `collector`: None: by the settings, at the first round."""

    def __init__(self, database: Database, bell: Bell, collector: Collector | None = None) -> None:
        self._database = database
        self._bell = bell
        self._collector = collector
        self._thread: threading.Thread | None = None
        #: Where the look at the accounts with automatic top-ups goes on.
        self._after = ""
        self._topping_up: Isolator[list[str]] = Isolator("making the top-up of account")
        self._asking: Isolator[bool] = Isolator("asking about invoice")

    def turn(self) -> None:
        """Begin a round, unless one is under way."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._round, name="payments", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Let a round that is under way end."""
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)

    def run_once(self) -> None:
        """One round: top-ups of those who have too little, then a step of each purchase that is due."""
        collector = self._collector = self._collector or Collector(self._database, payments())
        provider = collector.payments.name
        besides = self._topping_up.besides()
        lacking, self._after = self._database.read_sync(top_ups.lacking, besides, self._after)
        for account_id in lacking:
            for due in self._topping_up.each([account_id], lambda ids: self._top_up(ids[0], provider)):
                self._ring(due)
        for invoice_id in self._database.read_sync(payment_attempts.due, provider, MOST):
            if False in self._asking.each([invoice_id], lambda ids: self._step(collector, ids[0])):
                return

    def _top_up(self, account_id: str, provider: str) -> list[str]:
        """Make an account's top-up; one whose price is too high, by now, is not made again and again."""
        try:
            return self._database.write_sync(top_ups.make, account_id, provider)
        except InvalidRequest as error:
            log.error("no top-up of account %s: %s", account_id, error.message)
            self._database.write_sync(purchases.stop_top_ups, account_id, error.message)
            return []

    def _step(self, collector: Collector, invoice_id: str) -> bool:
        """Take a purchase's next step; False: the provider is away, so that the others need not be tried now."""
        try:
            self._ring(collector.advance(invoice_id, due=True))
        except PaymentsAway as error:
            log.warning("%s; asked about invoice %s", error.message, invoice_id)
            return error.reason == KEY_USED  # which is about this attempt alone
        except PaymentRefused as error:
            log.error("invoice %s: %s", invoice_id, error.message)
        return True

    def _ring(self, deliveries: list[str]) -> None:
        if deliveries:
            self._bell.ring(WEBHOOKS, deliveries)

    def _round(self) -> None:
        try:
            self.run_once()
        except Exception as error:
            away = is_away(error)
            log.error("payments failed, trying again: %s", logs.kind(error) if away else logs.trace(error))
