"""Sign-ins to the console, as rows: made, found by their token, ended. A session is as good as the key it came from."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from shared import clock, key_secrets, operator_password
from shared.accounts import read_account
from shared.db.models import api_keys, console_sessions
from shared.errors import NotFound
from shared.key_holders import KeyHolder, find_key_by_id, operator_as
from shared.key_texts import Mode
from shared.settings import settings

#: Sessions of one key, or of one operator: the oldest ends when there is another.
MOST_SESSIONS = 20
#: How often it is noted that a session is used, in seconds.
NOTE_SECONDS = 60
#: Expired sessions that one transaction deletes.
PURGED_AT_ONCE = 1000

_Row = console_sessions.c


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in: with a key, or an operator, of whom it has the name.

    `holder`: the key's, or the account at which an operator looks; None: an operator has chosen none.
    """

    id: str
    operator: str | None
    holder: KeyHolder | None
    #: How the key is listed: its name and first characters.
    key_name: str = ""
    key_prefix: str = ""
    used_at: int = 0
    created_at: int = 0
    #: Of the account at which an operator looks.
    account_name: str = ""

    @property
    def who(self) -> str:
        """The name in the audit log."""
        return self.operator if self.operator is not None else f"key {self.key_prefix}"


def begin(
    connection: Connection, *, key_id: str | None = None, operator: str | None = None, password: str | None = None
) -> str:
    """Sign in; the new token, of 256 random bits, which is stored nowhere.

    `password`: the operator's, as it was given; None: the first of those that are good.
    """
    token, now = secrets.token_urlsafe(32), clock.now_micros()
    _make_room(connection, key_id, operator)
    connection.execute(
        insert(console_sessions).values(
            id=clock.new_id("cses"),
            hash=token_hash(token) if operator is None else operator_hash(token, password),
            key_id=key_id,
            operator=operator,
            created_at=now,
            used_at=now,
            expires_at=_expiry(now, now),
        )
    )
    return token


def find(connection: Connection, token: str) -> Session | None:
    """Whose session it is; None: it has ended, or its key is revoked or has expired."""
    statement = (
        select(*console_sessions.c, api_keys.c.name, api_keys.c.prefix)
        .join_from(console_sessions, api_keys, api_keys.c.id == _Row.key_id, isouter=True)
        .where(_is(token), _Row.expires_at > clock.now_micros())
    )
    row = connection.execute(statement).first()
    if row is None:
        return None
    if row.operator is not None:
        seen = operator_as(connection, row.account_id, row.mode) if row.account_id else None
        name = read_account(connection, row.account_id)["name"] if seen else ""
        return Session(
            row.id, row.operator, seen, used_at=row.used_at, created_at=row.created_at, account_name=name or ""
        )
    holder = find_key_by_id(connection, row.key_id)
    if holder is None:
        return None
    return Session(row.id, None, holder, row.name, row.prefix, row.used_at, row.created_at)


def note_use(connection: Connection, session: Session) -> None:
    """A session has just been used: that puts its end off."""
    now = clock.now_micros()
    values = {"used_at": now, "expires_at": _expiry(session.created_at, now)}
    connection.execute(update(console_sessions).where(_Row.id == session.id).values(values))


def look_at(connection: Connection, id: str, account_id: str | None, mode: Mode = "live") -> None:
    """Have an operator's session look at an account, or at none. NotFound: there is no such account."""
    if account_id is not None and operator_as(connection, account_id, mode) is None:
        raise NotFound(f"not found: account {account_id[:100]}")
    operators = (_Row.id == id, _Row.operator.is_not(None))
    connection.execute(update(console_sessions).where(*operators).values(account_id=account_id, mode=mode))


def end(connection: Connection, token: str) -> None:
    """Sign out."""
    connection.execute(delete(console_sessions).where(_is(token)))


def purge(connection: Connection) -> int:
    """Delete up to PURGED_AT_ONCE sessions that have ended; how many."""
    some = select(_Row.id).where(_Row.expires_at <= clock.now_micros()).limit(PURGED_AT_ONCE)
    ids = list(connection.execute(some).scalars())
    if ids:
        connection.execute(delete(console_sessions).where(_Row.id.in_(ids)))
    return len(ids)


def token_hash(token: str, secret: str | None = None) -> str:
    """The only form in which a session's token is stored: HMAC-SHA256 under the deployment's secret."""
    by = key_secrets.in_force() if secret is None else secret
    return hmac.new(by.encode(), b"console:" + token.encode(), hashlib.sha256).hexdigest()


def operator_hash(token: str, password: str | None = None, secret: str | None = None) -> str:
    """The same of an operator's, whose session is as good as the password that it began with."""
    good = operator_password.all_of_them()
    return token_hash(f"{token}:{(good or ('',))[0] if password is None else password}", secret)


def _is(token: str) -> ColumnElement[bool]:
    """The row of a token: of a key's session, or of an operator's who signed in with a password that holds now."""
    secrets = key_secrets.accepted()
    keys = and_(_Row.operator.is_(None), _Row.hash.in_([token_hash(token, secret) for secret in secrets]))
    good = operator_password.all_of_them()
    hashes = [operator_hash(token, password, secret) for password in good for secret in secrets]
    return or_(keys, and_(_Row.operator.is_not(None), _Row.hash.in_(hashes))) if hashes else keys


def _make_room(connection: Connection, key_id: str | None, operator: str | None) -> None:
    own = _Row.key_id == key_id if key_id is not None else _Row.operator == operator
    older = select(_Row.id).where(own).order_by(_Row.id.desc()).offset(MOST_SESSIONS - 1)
    ids = list(connection.execute(older).scalars())
    if ids:
        connection.execute(delete(console_sessions).where(_Row.id.in_(ids)))


def _expiry(created: int, used: int) -> int:
    """When a session ends that is not used again."""
    own = settings()
    whole, idle = own.console_session_seconds * clock.MICROS, own.console_idle_seconds * clock.MICROS
    return min(created + whole, used + idle)
