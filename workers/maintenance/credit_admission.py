"""Lets in the jobs that wait for credit, as credit comes: what was released, bought, granted or given back."""

from collections.abc import Sequence

from sqlalchemy import Connection

from shared import clock, crash
from shared.db import Database
from shared.jobs import credit_waits
from shared.jobs.credit_waits import CHUNK
from workers.maintenance.isolation import Isolator

#: How long one turn goes on letting in, in seconds.
TURN_SECONDS = 0.1


class CreditAdmission:
    """One process's turns over the accounts that have waiting jobs. Any number may run at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._isolator: Isolator[tuple[list[str], list[str]]] = Isolator("letting in waiting jobs of account")
        #: Where the turn over the accounts goes on.
        self._after = ""

    def run_once(self) -> list[str]:
        """Look at the accounts that have waiting jobs, some in each turn; the deliveries that are now due."""
        accounts, after = self._database.read_sync(credit_waits.payable, self._after)
        besides, until = set(self._isolator.besides()), clock.monotonic() + TURN_SECONDS
        deliveries: list[str] = []
        for account in accounts:
            more = account not in besides
            while more:
                done = self._isolator.each([account], self._admit)
                deliveries += [id for _, due in done for id in due]
                more = any(len(ids) == CHUNK for ids, _ in done) and clock.monotonic() < until
            if clock.monotonic() >= until:  # the next turn is that of the others, however long this one's line is
                after = account
                break
        self._after = after
        return deliveries

    def _admit(self, accounts: Sequence[str]) -> tuple[list[str], list[str]]:
        done = self._database.write_sync(_admit, accounts[0])
        crash.point("credit.after_commit")
        return done


def _admit(connection: Connection, account_id: str) -> tuple[list[str], list[str]]:
    done = credit_waits.admit(connection, account_id)
    crash.point("credit.before_commit")
    return done
