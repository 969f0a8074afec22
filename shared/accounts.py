"""Accounts and their API keys: created by the operator, looked up at every request."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, or_, select, update

from shared import clock, key_limits, key_secrets, key_standing
from shared.db.models import accounts, api_keys, thresholds
from shared.errors import InvalidRequest, NotFound
from shared.key_limits import NO_LIMITS, KeyLimits
from shared.key_standing import Rehash
from shared.key_texts import PREFIXES, Mode, key_hash, key_hashes, new_key, well_formed
from shared.money.plans import MOST_REQUESTS_PER_MINUTE, PLANS, requests_per_minute

UnknownFields = Literal["refuse", "ignore"]

#: Told when this much is left, unless the customer sets other thresholds.
DEFAULT_THRESHOLD_MICROS: Final = 100 * 1_000_000

#: The key of what an operator does as an account: no key has this id.
OPERATORS_KEY: Final = "operator"
#: How many of its first characters tell a key by: those that are stored and listed.
_SHOWN: Final = 18
#: What is shown of a key's row.
_LISTED: Final = [column for column in api_keys.c if column.name not in ("hash", "hashed_by")]
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


def create_account(
    connection: Connection,
    name: str,
    plan: str = "starter",
    per_minute: int | None = None,
    *,
    linked_context: bool = False,
) -> str:
    """A new account without credit; its id. `per_minute`: requests a minute of its own, whatever the plan has.

    `linked_context`: its chats may be linked to entities.
    """
    _check_plan(plan)
    _check_requests(per_minute)
    id, now = clock.new_id("acct"), clock.now_micros()
    row = {"id": id, "name": name, "plan": plan, "requests_per_minute": per_minute, "created_at": now}
    connection.execute(insert(accounts).values(**row, linked_context=linked_context))
    connection.execute(
        insert(thresholds).values(
            id=clock.new_id("thr"),
            account_id=id,
            kind="remaining",
            level_micros=DEFAULT_THRESHOLD_MICROS,
            armed=False,
        )
    )
    return id


def list_accounts(connection: Connection) -> list[Mapping[str, Any]]:
    """Every account, oldest first."""
    return [dict(row) for row in connection.execute(select(accounts).order_by(accounts.c.id)).mappings()]


def newest_accounts(connection: Connection, *, after: str | None, limit: int) -> list[Mapping[str, Any]]:
    """Accounts, the newest first, those made before `after`."""
    statement = select(accounts).order_by(accounts.c.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(accounts.c.id < after)
    return [dict(row) for row in connection.execute(statement).mappings()]


def read_account(connection: Connection, account_id: str) -> Mapping[str, Any]:
    """An account's row; NotFound when there is none."""
    row = connection.execute(select(accounts).where(accounts.c.id == account_id)).mappings().first()
    if row is None:
        raise NotFound(f"not found: account {account_id[:100]!r}")
    return dict(row)


def set_plan(connection: Connection, account_id: str, plan: str) -> None:
    """Move an account to another plan; producers know within a second. Its own requests a minute, if any, stay."""
    _check_plan(plan)
    _change(connection, account_id, plan=plan)


def set_requests_per_minute(connection: Connection, account_id: str, own: int | None) -> None:
    """Give an account its own requests a minute, or None: its plan's again; producers know within a second."""
    _check_requests(own)
    _change(connection, account_id, requests_per_minute=own)


def set_unknown_fields(connection: Connection, account_id: str, to: UnknownFields) -> None:
    """Say what becomes of fields of the account's requests that nobody knows; producers know within a second."""
    _change(connection, account_id, unknown_fields=to)


def set_linked_context(connection: Connection, account_id: str, allowed: bool) -> None:
    """Say whether the account's chats may be linked to entities; producers know within a second."""
    _change(connection, account_id, linked_context=allowed)


def may_link(connection: Connection, account_id: str) -> bool:
    """Whether the account's chats may be linked to entities."""
    return bool(connection.execute(select(accounts.c.linked_context).where(accounts.c.id == account_id)).scalar())


def ignores_unknown(connection: Connection, account_id: str) -> bool:
    """Whether fields that nobody knows are no fault in the account's requests."""
    setting = select(accounts.c.unknown_fields).where(accounts.c.id == account_id)
    return connection.execute(setting).scalar() == "ignore"


def create_key(
    connection: Connection, account_id: str, mode: Mode, *, name: str = "", expires_at: int | None = None
) -> tuple[str, str]:
    """A new key of an account: its id, and the key itself, which is never shown again. `expires_at` in microseconds."""
    if connection.execute(select(accounts.c.id).where(accounts.c.id == account_id)).first() is None:
        raise NotFound(f"not found: account {account_id}")
    key, id = new_key(mode), clock.new_id("key")
    connection.execute(
        insert(api_keys).values(
            id=id,
            account_id=account_id,
            mode=mode,
            name=name,
            prefix=key[:_SHOWN],
            hash=key_hash(key),
            hashed_by=key_secrets.mark(key_secrets.in_force()),
            created_at=clock.now_micros(),
            expires_at=expires_at,
        )
    )
    return id, key


def list_keys(
    connection: Connection, account_id: str | None = None, *, prefix: str = "", left: bool = False
) -> list[Mapping[str, Any]]:
    """Keys with all but their hash, oldest first; those of an account, those that begin with `prefix`.

    `left`: only those that are good and not known to stand under the secret in force.
    """
    statement = select(*_LISTED).order_by(api_keys.c.id)
    if account_id is not None:
        statement = statement.where(api_keys.c.account_id == account_id)
    if prefix:
        statement = statement.where(_begins(prefix))
    if left:
        statement = statement.where(key_standing.left())
    return [dict(row) for row in connection.execute(statement).mappings()]


def newest_keys(
    connection: Connection, account_id: str, *, after: str | None = None, limit: int
) -> list[Mapping[str, Any]]:
    """Some keys of an account, the newest first; `after`: those made before this one."""
    statement = select(*_LISTED).where(api_keys.c.account_id == account_id).order_by(api_keys.c.id.desc())
    if after is not None:
        statement = statement.where(api_keys.c.id < after)
    return [dict(row) for row in connection.execute(statement.limit(limit)).mappings()]


def read_key(connection: Connection, account_id: str, id: str) -> Mapping[str, Any]:
    """A key of an account, with all but its hash. NotFound: it has none of this id."""
    mine = (api_keys.c.account_id == account_id, api_keys.c.id == id)
    row = connection.execute(select(*_LISTED).where(*mine)).mappings().first()
    if row is None:
        raise NotFound(f"not found: key {id[:_SHOWN]!r}")
    return dict(row)


def revoke_key(connection: Connection, told: str) -> str:
    """End the one key of that id or beginning, or a whole key that was found lying about; its id.

    Producers notice within a second; a request under way goes on.
    """
    id = named_key(connection, told)
    live = update(api_keys).where(api_keys.c.id == id, api_keys.c.revoked_at.is_(None))
    connection.execute(live.values(revoked_at=clock.now_micros()))
    return id


def named_key(connection: Connection, told: str) -> str:
    """The id of the one key of that id (or its end after `…`), name or beginning, or of a whole key."""
    matches: ColumnElement[bool] = api_keys.c.id == told
    if (end := told.removeprefix("…").removeprefix("...")) != told and end:
        matches = api_keys.c.id.endswith(end, autoescape=True)
    elif well_formed(told):
        matches = _has_one_of(key_hashes(told))
    elif told.startswith(PREFIXES) and len(told) > len(PREFIXES[0]):
        matches = _begins(told)
    ids = select(api_keys.c.id)
    # By its name only what is nothing else: no name stands in the way of an id.
    found = list(connection.scalars(ids.where(matches))) or list(connection.scalars(ids.where(api_keys.c.name == told)))
    if len(found) != 1:
        raise NotFound(
            f"{len(found) or 'no'} keys match {told[:_SHOWN]!r}; give the id, the name or the first characters of one, "
            "as `fusionai keys list` shows them"
        )
    return str(found[0])


def find_key(connection: Connection, key: str) -> KeyHolder | None:
    """The holder of a key that is neither revoked nor expired; in one look, whichever secret its row stands under."""
    hashes = key_hashes(key)
    row = _row(connection, _has_one_of(hashes))
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


def _has_one_of(hashes: Mapping[str, str]) -> ColumnElement[bool]:
    return or_(*(api_keys.c.hash == one for one in hashes))


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


def _begins(told: str) -> ColumnElement[bool]:
    """Keys that begin so, letter for letter: SQLite's LIKE takes `a` for `A`, and then ends somebody else's key."""
    shown = told[:_SHOWN]
    return func.substr(api_keys.c.prefix, 1, len(shown)) == shown


def _check_plan(plan: str) -> None:
    if plan not in PLANS:
        raise InvalidRequest(f"plan: {plan!r} is not one of {', '.join(PLANS)}", param="plan")


def _check_requests(per_minute: int | None) -> None:
    if per_minute is not None and not 1 <= per_minute <= MOST_REQUESTS_PER_MINUTE:
        raise InvalidRequest(
            f"requests_per_minute: must be from 1 to {MOST_REQUESTS_PER_MINUTE:,}, not {per_minute}",
            param="requests_per_minute",
        )


def _change(connection: Connection, account_id: str, **values: Any) -> None:
    if not connection.execute(update(accounts).where(accounts.c.id == account_id).values(values)).rowcount:
        raise NotFound(f"not found: account {account_id}")
