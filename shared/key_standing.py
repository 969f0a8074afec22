"""Under which secret the rows of keys stand, and how they come to stand under the one in force: each when it is used.

What stands under the next secret is left alone: a process that is a step ahead has put it there, and one that is a step
behind would otherwise take it back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, or_, select, update

from shared import clock, key_secrets
from shared.db.models import api_keys
from shared.key_texts import key_hash
from shared.settings import settings

#: What a secret is to this process; `unnoted`: the rows do not say which it is; `unknown`: it is none of ours.
Standing = Literal["in_force", "next", "old", "unnoted", "unknown"]


@dataclass(frozen=True, slots=True)
class Rehash:
    """A key whose row does not say that it stands under the secret in force: the hash that it has, and its own.

    `by`: the mark of that secret.
    """

    key_id: str
    before: str
    after: str
    by: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many keys that are good stand under a secret, by its mark, and when one of them was last used."""

    standing: Standing
    mark: str | None
    keys: int
    last_used_at: int | None


def rehash(row: Any, key: str, secret: str) -> Rehash | None:
    """What is to be done about the row of a key that was found under this secret; None: nothing."""
    own = settings()
    if secret == own.key_secret_next or (secret == own.key_secret and row.hashed_by == key_secrets.mark(secret)):
        return None
    return Rehash(row.id, row.hash, key_hash(key), key_secrets.mark(own.key_secret))


def put(connection: Connection, changes: Iterable[Rehash]) -> None:
    """Have these keys stand under the secret in force, unless somebody else has meanwhile."""
    rows = [
        {"key": one.key_id, "before": one.before, "after": one.after, "by": one.by}
        for one in sorted(changes, key=attrgetter("key_id"))
    ]
    if rows:
        connection.execute(_PUT, rows)


_PUT: Final = (
    update(api_keys)
    .where(api_keys.c.id == bindparam("key"), api_keys.c.hash == bindparam("before"))
    .values(hash=bindparam("after"), hashed_by=bindparam("by"))
)


def under_any(hashes: Iterable[str]) -> ColumnElement[bool]:
    """The row of the key that has one of these hashes, whichever secret it stands under."""
    return or_(*(api_keys.c.hash == one for one in hashes))


def left() -> ColumnElement[bool]:
    """Keys that are good and not known to stand under the secret in force, nor the next."""
    ours = [mark for mark, standing in standings().items() if standing in ("in_force", "next")]
    return and_(_good(), or_(api_keys.c.hashed_by.is_(None), api_keys.c.hashed_by.not_in(ours)))


def counts(connection: Connection) -> list[Count]:
    """Of each secret that this process accepts, and of what else the rows say."""
    by, used = api_keys.c.hashed_by, func.max(api_keys.c.last_used_at)
    found = {
        mark: (keys, last)
        for mark, keys, last in connection.execute(select(by, func.count(), used).where(_good()).group_by(by))
    }
    ours = standings()
    shown = [Count(standing, mark, *found.pop(mark, (0, None))) for mark, standing in ours.items()]
    if None in found:
        shown.append(Count("unnoted", None, *found.pop(None)))
    return shown + [Count("unknown", mark, *one) for mark, one in sorted(found.items())]


def standings() -> Mapping[str, Standing]:
    """What the secrets of this process are, by their marks."""
    own = settings()
    named: list[tuple[str, Standing]] = [(own.key_secret, "in_force")]
    named += [(own.key_secret_next, "next")] if own.key_secret_next else []
    named += [(secret, "old") for secret in key_secrets.old()]
    return {key_secrets.mark(secret): standing for secret, standing in named}


def _good() -> ColumnElement[bool]:
    expires = api_keys.c.expires_at
    return and_(api_keys.c.revoked_at.is_(None), or_(expires.is_(None), expires > clock.now_micros()))
