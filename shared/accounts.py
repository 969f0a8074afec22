"""Accounts and their API keys, as the operator makes, lists, changes and revokes them."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from shared import clock, key_secrets, key_standing
from shared.db.models import accounts, api_keys, thresholds
from shared.errors import InvalidRequest, NotFound
from shared.key_texts import PREFIXES, Mode, key_hash, key_hashes, new_key, well_formed
from shared.money.plans import MOST_REQUESTS_PER_MINUTE, PLANS

UnknownFields = Literal["refuse", "ignore"]

#: Told when this much is left, unless the customer sets other thresholds.
DEFAULT_THRESHOLD_MICROS: Final = 100 * 1_000_000

#: How many of its first characters tell a key by: those that are stored and listed.
_SHOWN: Final = 18
#: What is shown of a key's row.
_LISTED: Final = [column for column in api_keys.c if column.name not in ("hash", "hashed_by")]


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
        matches = key_standing.under_any(key_hashes(told))
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
