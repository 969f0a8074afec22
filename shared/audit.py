"""The audit log: what operators did to accounts, keys and credit, who, when and why. Entries are only ever added.

An entry is written in the transaction of what it tells of, so there is neither one without the other.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, select, union_all
from sqlalchemy.exc import IntegrityError

from shared import clock
from shared.db.models import audit_log
from shared.errors import Conflict
from shared.strict_json import dumps

#: Characters of a reason, a reference, a name of an operator.
MOST_REASON, MOST_NAME = 500, 200


@dataclass(frozen=True, slots=True)
class Action:
    """Who did what, and why."""

    operator: str
    #: Its command, `credits.refund`.
    name: str
    reason: str | None = None
    #: The operator's own name for it: what has been done under that name is not done again.
    reference: str | None = None


def record(
    connection: Connection,
    action: Action,
    account_id: str | None,
    subject: tuple[str, str],
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    id: str | None = None,
) -> str:
    """Add an entry; its id. `subject`: the type and id of what was changed; `before`, `after`: its values."""
    id = id or clock.new_id("aud")
    values = {
        "id": id,
        "created_at": clock.now_micros(),
        "operator": action.operator,
        "action": action.name,
        "account_id": account_id,
        "subject_type": subject[0],
        "subject_id": subject[1],
        "reason": action.reason,
        "reference": action.reference,
        "before": None if before is None else dumps(before),
        "after": None if after is None else dumps(after),
    }
    try:
        connection.execute(insert(audit_log).values(**values))
    except IntegrityError as error:
        if action.reference is None:
            raise
        said = f"reference {action.reference!r} was used at the same moment for another account; see accounts audit"
        raise Conflict(said) from error
    return id


def earlier(
    connection: Connection, action: Action, account_id: str, subject_id: str | None = None, **asked: Any
) -> dict[str, Any] | None:
    """The entry of the same action under the same reference, if there is one.

    Conflict: the reference was used for something else: another action, account, subject, or other values `asked`
    for (as `after` has them).
    """
    if action.reference is None:
        return None
    row = connection.execute(select(audit_log).where(audit_log.c.reference == action.reference)).mappings().first()
    if row is None:
        return None
    entry = shown(dict(row))
    same = entry["action"] == action.name and entry["account_id"] == account_id
    same = same and (subject_id is None or entry["subject"]["id"] == subject_id)
    if not same or any((entry["after"] or {}).get(name) != value for name, value in asked.items()):
        raise Conflict(
            f"reference {action.reference!r} was used for another command: {entry['action']} ({entry['id']})"
        )
    return entry


def entries(
    connection: Connection,
    account_id: str | None = None,
    *,
    limit: int = 20,
    after: str | None = None,
    action: str = "",
) -> list[dict[str, Any]]:
    """Entries, the newest first: of an account, or of all; `after`: older than this one.

    `action`: those whose action begins with it.
    """
    within = [] if account_id is None else [audit_log.c.account_id == account_id]
    newest = select(audit_log).where(*within).order_by(audit_log.c.id.desc()).limit(limit)
    if after is not None:
        newest = newest.where(audit_log.c.id < after)
    if action:
        names = [name for name in _actions(connection, within) if name.startswith(action)]
        if not names:
            return []
        of_each = [newest.where(audit_log.c.action == name).subquery() for name in names]
        every = union_all(*(select(one) for one in of_each)).subquery()
        newest = select(every).order_by(every.c.id.desc()).limit(limit)
    return [shown(dict(row)) for row in connection.execute(newest).mappings()]


def _actions(connection: Connection, within: Sequence[ColumnElement[bool]]) -> list[str]:
    """The actions that there are entries of: a step in the index for each of the few, however many entries it has."""
    first = select(func.min(audit_log.c.action)).where(*within)
    found = select(first.scalar_subquery().label("action")).cte("found", recursive=True)
    following = first.where(audit_log.c.action > found.c.action).scalar_subquery()
    found = found.union_all(select(following).where(found.c.action.is_not(None)))
    return list(connection.execute(select(found.c.action).where(found.c.action.is_not(None))).scalars())


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as `--json` shows it."""
    return {
        "id": row["id"],
        "created_at": row["created_at"] // clock.MICROS,
        "operator": row["operator"],
        "action": row["action"],
        "account_id": row["account_id"],
        "subject": {"type": row["subject_type"], "id": row["subject_id"]},
        "reason": row["reason"],
        "reference": row["reference"],
        "before": json.loads(row["before"]) if row["before"] else None,
        "after": json.loads(row["after"]) if row["after"] else None,
    }
