"""The audit log: what operators did to accounts, keys and credit, who, when and why. Entries are only ever added.

An entry is written in the transaction of what it tells of, so there is neither one without the other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from shared import clock
from shared.db.models import audit_log
from shared.errors import Conflict
from shared.strict_json import dumps

#: Characters of a reason, a reference, a name of an operator.
MOST_REASON, MOST_NAME = 500, 200
#: Entries that are looked through for those of an action.
SEARCHED = 2_000


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

    `action`: those whose action begins with it, among the next SEARCHED entries.
    """
    statement = select(audit_log).order_by(audit_log.c.id.desc()).limit(limit)
    if account_id is not None:
        statement = statement.where(audit_log.c.account_id == account_id)
    if after is not None:
        statement = statement.where(audit_log.c.id < after)
    if action:
        ids = statement.with_only_columns(audit_log.c.id, audit_log.c.action).limit(SEARCHED)
        named = [row.id for row in connection.execute(ids) if row.action.startswith(action)][:limit]
        statement = select(audit_log).where(audit_log.c.id.in_(named)).order_by(audit_log.c.id.desc())
    return [shown(dict(row)) for row in connection.execute(statement).mappings()]


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
