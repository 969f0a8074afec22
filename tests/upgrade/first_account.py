"""Makes an account with credit and a key that has budgets, by the version that Python finds; prints it as JSON.

python tests/upgrade/first_account.py CREDITS
"""

import json
import sys
from typing import Any

from shared import accounts, clock, key_limits
from shared.db import Database
from shared.money import ledger
from shared.money.budgets import BUDGET_PERIODS
from shared.settings import settings


def make(connection: Any, credits: int) -> dict[str, str]:
    """The account's id and its keys."""
    id = accounts.create_account(connection, "upgraded", "enterprise")
    ledger.grant(connection, id, credits * clock.MICROS)
    live_id, live = accounts.create_key(connection, id, "live")
    _, test = accounts.create_key(connection, id, "test")
    budgets = dict.fromkeys(BUDGET_PERIODS, credits * clock.MICROS)
    key_limits.change(connection, live_id, key_limits.Change(budgets=budgets))
    return {"id": id, "live_key": live, "test_key": test}


if __name__ == "__main__":
    database = Database(settings().database_url)
    print(json.dumps(database.write_sync(make, int(sys.argv[1]))))
    database.close()
