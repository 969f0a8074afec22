"""The secrets that sign deliveries to the `callback_url` of jobs and batches: one an account and mode, live or test.

A callback is of no webhook, and an account may have several, so it has a secret of its own, made when it is first
needed. Only a rotation shows it; the one before signs for another day, as a webhook's does.
"""

import secrets
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select, tuple_

from shared import clock, db
from shared.db.models import callback_secrets
from shared.webhooks import signing

#: An account, and whether its test keys are meant.
Owner = tuple[str, bool]


def ensure(connection: Connection, owners: Collection[Owner]) -> dict[Owner, Mapping[str, Any]]:
    """The row of each owner's secret, which is made where there is none yet."""
    found = _found(connection, owners)
    if missing := sorted(set(owners) - found.keys()):
        fresh = [_fresh(*owner) for owner in missing]
        statement = db.insert(connection.dialect.name, callback_secrets)
        connection.execute(statement.on_conflict_do_nothing(index_elements=["account_id", "test"]), fresh)
        found |= _found(connection, missing)
    return found


def _found(connection: Connection, owners: Collection[Owner]) -> dict[Owner, Mapping[str, Any]]:
    rows = connection.execute(_FIND, {"b_owners": sorted(owners)}).mappings()
    return {(row["account_id"], bool(row["test"])): dict(row) for row in rows}


def _fresh(account_id: str, test: bool) -> dict[str, Any]:
    return {
        "id": clock.new_id("cbs"),
        "account_id": account_id,
        "test": test,
        "secret": signing.secret_of(secrets.token_bytes(signing.SECRET_BYTES)),
        "old_secrets": None,
        "created_at": clock.now_micros(),
    }


_FIND = select(callback_secrets).where(
    tuple_(callback_secrets.c.account_id, callback_secrets.c.test).in_(bindparam("b_owners", expanding=True))
)
