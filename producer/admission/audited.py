"""The entry in the audit log of a change that somebody makes through the API: the transaction of the change writes it.

The console says whose change is under way (`written_down`), since only it has callers that have names. What changes
rows asks for that where it begins its transaction (`current`), and writes the entry in it: so there is neither one
without the other, wherever a process is killed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from shared import audit, crash
from shared.audit import Action
from shared.db import Database

R = TypeVar("R")


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Entry:
    """Who does what to what; an empty `subject_id`: to what the operation makes, whose `id` its answer has.

    `changed`: whether an answer of the operation means that something has changed.
    """

    action: Action
    account_id: str | None
    subject_type: str
    subject_id: str = ""
    changed: Callable[[Any], bool] = _always

    def write(self, connection: Connection, answer: Any) -> None:
        """Add it, of an operation that has just answered so in this transaction."""
        if not self.changed(answer):
            return
        made = answer.get("id") if isinstance(answer, Mapping) else None
        audit.record(connection, self.action, self.account_id, (self.subject_type, self.subject_id or str(made or "")))
        crash.point("audit.before_commit")


_entry: ContextVar[Entry | None] = ContextVar("fusionai_audit_entry", default=None)


@contextmanager
def written_down(entry: Entry) -> Iterator[None]:
    """Have the change that is made in this block written down."""
    token = _entry.set(entry)
    try:
        yield
    finally:
        _entry.reset(token)


def current() -> Entry | None:
    """The entry of the change that is under way; None: it is nobody's who is written down."""
    return _entry.get()


async def change(database: Database, fn: Callable[..., R], *args: Any) -> R:
    """`database.write`, for a change of a customer's that is made without an Idempotency-Key."""
    return await database.write(answered, current(), fn, args)


def write_all(connection: Connection, made: Iterable[tuple[Entry | None, Mapping[str, Any]]]) -> None:
    """Add the entries of things that this transaction has made together, where there are any."""
    for entry, answer in made:
        if entry is not None:
            entry.write(connection, answer)


def answered(connection: Connection, entry: Entry | None, fn: Callable[..., R], args: tuple[Any, ...]) -> R:
    """What `fn(connection, *args)` returns, with the entry of it."""
    answer = fn(connection, *args)
    if entry is not None:
        entry.write(connection, answer)
    return answer
