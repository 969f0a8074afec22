"""Makes the statements of months that are over, an account and month a transaction, whoever else makes them too."""

from collections.abc import Sequence

from shared.db import Database
from shared.money import statements
from shared.money.statements import Month
from workers.maintenance.isolation import Isolator

#: Statements of one step.
MOST = 50


class StatementMaker:
    """One process's part in it; passes over months that it could not close."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closing: Isolator[None] = Isolator("the statement of")

    def some(self) -> bool:
        """A step; whether there may be more."""
        passed = set(self._closing.besides())
        due = self._database.read_sync(statements.due, MOST + len(passed))
        months = {key: month for month in due if (key := f"{month.account_id} in {month.month}") not in passed}
        for key in list(months)[:MOST]:
            self._closing.each([key], lambda keys: self._close([months[key] for key in keys]))
        return len(months) >= MOST

    def _close(self, months: Sequence[Month]) -> None:
        for month in months:
            lines = self._database.read_sync(statements.read, month)
            self._database.write_sync(statements.close, month, lines)
