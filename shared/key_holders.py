"""Whose an API key is and what it may: looked up at every request, by the key itself or by its id."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, or_, select, update

from shared import clock, key_limits, key_standing
from shared.db.models import accounts, api_keys
from shared.key_limits import NO_LIMITS, KeyLimits
from shared.key_standing import Rehash
from shared.key_texts import Mode, key_hashes
from shared.money.plans import requests_per_minute

#: The key of what an operator does as an account: no key has this id.
OPERATORS_KEY: Final = "operator"
_HOLDERS: Final = select(
    api_keys.c.id,
    api_keys.c.account_id,
    api_keys.c.mode,
    api_keys.c.expires_at,
    api_keys.c.hash,
    api_keys.c.hashed_by,
    accounts.c.plan,
    accounts.c.requests_per_minute,
    accounts.c.unknown_fields,
    accounts.c.linked_context,
    *key_limits.COLUMNS,
).join_from(api_keys, accounts, accounts.c.id == api_keys.c.account_id)


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose a key is, and how many requests a minute its account may send (None: no limit)."""

    key_id: str
    account_id: str
    mode: Mode
    expires_at: int | None
    requests_per_minute: int | None = None
    #: Fields of a request that nobody knows are listed in the job's `ignored`, instead of a 400.
    ignores_unknown: bool = False
    #: Its chats may be linked to entities.
    linked_context: bool = False
    #: What the key itself may do.
    limits: KeyLimits = NO_LIMITS
    #: Its row does not stand under the secret in force, as of when it was looked up by the key itself.
    rehash: Rehash | None = field(default=None, compare=False, repr=False)

    @property
    def test(self) -> bool:
        return self.mode == "test"


def find_key(connection: Connection, key: str) -> KeyHolder | None:
    """The holder of a key that is neither revoked nor expired; in one look, whichever secret its row stands under."""
    hashes = key_hashes(key)
    row = _row(connection, key_standing.under_any(hashes))
    if row is None:
        return None
    return replace(_holder(row), rehash=key_standing.rehash(row, key, hashes[row.hash]))


def find_key_by_id(connection: Connection, key_id: str) -> KeyHolder | None:
    """The same, by the key's id."""
    row = _row(connection, api_keys.c.id == key_id)
    return None if row is None else _holder(row)


def operator_as(connection: Connection, account_id: str, mode: Mode) -> KeyHolder | None:
    """An operator who acts as an account, without a key of its; None: there is no such account."""
    columns = (accounts.c.plan, accounts.c.requests_per_minute, accounts.c.unknown_fields, accounts.c.linked_context)
    row = connection.execute(select(*columns).where(accounts.c.id == account_id)).first()
    if row is None:
        return None
    per_minute = requests_per_minute(row.plan, row.requests_per_minute)
    return KeyHolder(
        OPERATORS_KEY, account_id, mode, None, per_minute, row.unknown_fields == "ignore", row.linked_context
    )


def _row(connection: Connection, matches: ColumnElement[bool]) -> Any:
    """The row of a key that is good."""
    row = connection.execute(_HOLDERS.where(matches, api_keys.c.revoked_at.is_(None))).first()
    return None if row is None or (row.expires_at is not None and row.expires_at <= clock.now_micros()) else row


def _holder(row: Any) -> KeyHolder:
    per_minute = requests_per_minute(row.plan, row.requests_per_minute)
    ignores, limits = row.unknown_fields == "ignore", key_limits.read(row)
    return KeyHolder(row.id, row.account_id, row.mode, row.expires_at, per_minute, ignores, row.linked_context, limits)


def record_uses(connection: Connection, uses: Mapping[str, int], *, older_seconds: int = 0) -> None:
    """Note when keys were last used, by id, in microseconds; where what is noted is older by so many seconds."""
    statement = (
        update(api_keys)
        .where(api_keys.c.id == bindparam("key"))
        .where(or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < bindparam("before")))
        .values(last_used_at=bindparam("used"))
    )
    margin = older_seconds * clock.MICROS
    rows = [{"key": id, "used": used, "before": used - margin} for id, used in sorted(uses.items())]
    if rows:
        connection.execute(statement, rows)
