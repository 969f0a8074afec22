"""Prepares a database for its first request: the schema and, if it has none, an account with keys.

Run by `fusionai up` as a process of its own, with the stack's settings: `python -m producer.stack.first_account`.
"""

import sys

from sqlalchemy import Connection

from producer.stack import failures
from producer.stack.state import StateDirectory
from producer.terminal import printable
from shared import accounts
from shared.clock import MICROS
from shared.db import Database
from shared.db.migrations import migrate
from shared.money import ledger
from shared.settings import keep_private, settings

PLAN = "business"
GRANT_MICROS = 10_000 * MICROS


def create_when_empty(connection: Connection, state: StateDirectory) -> bool:
    """Make the first account unless there is one; whether it did.

    The keys are written before the transaction commits: a crash in between leaves keys that open nothing and
    are replaced next time, rather than an account whose keys are lost.
    """
    if accounts.list_accounts(connection):
        return False
    account = accounts.create_account(connection, "first", PLAN, linked_context=True)
    ledger.grant(connection, account, GRANT_MICROS, "the embedded stack's first credits")
    keys = {
        f"{mode}_key": accounts.create_key(connection, account, mode, name="first", expires_at=None)[1]
        for mode in ("live", "test")
    }
    state.write("first-account.json", {"base_url": "", "account_id": account, **keys})
    return True


def main() -> None:
    """Prepare the database; what the user can mend is a line on standard error, and exit status 1."""
    try:
        prepare()
    except failures.explained() as error:
        print(printable(f"Error: {failures.message(error)}"), file=sys.stderr)
        raise SystemExit(1) from None


def prepare() -> None:
    """Migrate the schema and make the first account."""
    own = settings()
    keep_private()
    migrate(own.database_url)
    database = Database(own.database_url)
    try:
        database.write_sync(create_when_empty, StateDirectory(own.state_directory))
    finally:
        database.close()


if __name__ == "__main__":
    main()
