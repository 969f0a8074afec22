"""Accounts and their keys: made by the operator, looked up at every request."""

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert, or_, select, update

from shared import clock
from shared.errors import InvalidRequest, NotFound
from shared.models import accounts, api_keys, thresholds
from shared.settings import settings

Mode = Literal["live", "test"]
PLANS: Final = ("starter", "professional", "business", "enterprise")

#: Told when this much is left, unless the customer sets other thresholds.
DEFAULT_THRESHOLD_MICROS: Final = 100 * 1_000_000

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM, _CHECK = 32, 6


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose a key is."""

    key_id: str
    account_id: str
    mode: Mode
    expires_at: int | None

    @property
    def test(self) -> bool:
        return self.mode == "test"


def create_account(connection: Connection, name: str, plan: str = "starter") -> str:
    """A new account without credit; its id."""
    if plan not in PLANS:
        raise InvalidRequest(f"plan: {plan!r} is not one of {', '.join(PLANS)}", param="plan")
    id, now = clock.new_id("acct"), clock.now_micros()
    connection.execute(insert(accounts).values(id=id, name=name, plan=plan, created_at=now))
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


def create_key(
    connection: Connection, account_id: str, mode: Mode, *, name: str = "", expires_at: int | None = None
) -> tuple[str, str]:
    """A new key of an account: its id, and the key itself, which is never shown again. `expires_at` in microseconds."""
    if connection.execute(select(accounts.c.id).where(accounts.c.id == account_id)).first() is None:
        raise NotFound(f"there is no account {account_id}")
    key, id = new_key(mode), clock.new_id("key")
    connection.execute(
        insert(api_keys).values(
            id=id,
            account_id=account_id,
            mode=mode,
            name=name,
            prefix=key[:18],
            hash=key_hash(key),
            created_at=clock.now_micros(),
            expires_at=expires_at,
        )
    )
    return id, key


def list_keys(connection: Connection, account_id: str | None = None) -> list[Mapping[str, Any]]:
    """Keys with all but their hash, oldest first."""
    columns = [column for column in api_keys.c if column.name != "hash"]
    statement = select(*columns).order_by(api_keys.c.id)
    if account_id is not None:
        statement = statement.where(api_keys.c.account_id == account_id)
    return [dict(row) for row in connection.execute(statement).mappings()]


def revoke_key(connection: Connection, id_or_prefix: str) -> str:
    """End a key by its id or the one prefix that matches it; producers notice within a second."""
    matches = or_(api_keys.c.id == id_or_prefix, api_keys.c.prefix == id_or_prefix)
    found = [row.id for row in connection.execute(select(api_keys.c.id).where(matches))]
    if len(found) != 1:
        raise NotFound(f"{len(found) or 'no'} keys match {id_or_prefix!r}")
    live = update(api_keys).where(api_keys.c.id == found[0], api_keys.c.revoked_at.is_(None))
    connection.execute(live.values(revoked_at=clock.now_micros()))
    return str(found[0])


def find_key(connection: Connection, key: str) -> KeyHolder | None:
    """The holder of a key that is neither revoked nor expired."""
    statement = select(api_keys.c.id, api_keys.c.account_id, api_keys.c.mode, api_keys.c.expires_at).where(
        api_keys.c.hash == key_hash(key), api_keys.c.revoked_at.is_(None)
    )
    row = connection.execute(statement).first()
    if row is None or (row.expires_at is not None and row.expires_at <= clock.now_micros()):
        return None
    return KeyHolder(row.id, row.account_id, row.mode, row.expires_at)


def new_key(mode: Mode) -> str:
    """`fusionai_live_` + 32 random characters + 6 of checksum over all before."""
    body = f"fusionai_{mode}_" + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return body + _checksum(body)


def well_formed(key: str) -> bool:
    """Whether a key has the shape and checksum of ours; a typo fails here, without a look at the database."""
    prefix = key.startswith(("fusionai_live_", "fusionai_test_"))
    return prefix and len(key) == 14 + _RANDOM + _CHECK and key.isascii() and _checksum(key[:-_CHECK]) == key[-_CHECK:]


def key_hash(key: str) -> str:
    """The only form in which a key is stored: HMAC-SHA256 under the deployment's secret."""
    return hmac.new(settings().key_secret.encode(), key.encode(), hashlib.sha256).hexdigest()


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits += _ALPHABET[digit]
    return digits
