"""Who changed what in the console: an entry in the audit log for each call that changes something."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from producer.console.api import Answer, Call
from shared import audit
from shared.console_sessions import Session
from shared.db import Database

_VERBS = {"POST": "create", "PATCH": "update", "PUT": "set", "DELETE": "delete"}
#: What an id looks like: `job_019a…`.
_ID = re.compile(r"[a-z]+[_-][0-9a-f]{6,}")


async def note_call(database: Database, session: Session, account_id: str | None, call: Call, answer: Answer) -> None:
    """Add the entry of a call that was answered well; none for the answer of a call that was sent before."""
    if answer.headers.get("idempotent-replayed") == "true":
        return
    name, subject = described(call, answer)
    await note(database, session, name, account_id, subject)


async def note(
    database: Database,
    session: Session,
    name: str,
    account_id: str | None,
    subject: tuple[str, str],
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add the entry of anything else; `name` as `console.sign_in`."""
    action = audit.Action(session.who, name)
    await database.write(audit.record, action, account_id, subject, before=before, after=after)


def described(call: Call, answer: Answer) -> tuple[str, tuple[str, str]]:
    """What an entry calls a call, and the type and id of what it changed.

    >>> described(Call("POST", "/v1/jobs/job_0123456789abcdef/cancel"), Answer(200, {}, b"{}"))
    ('console.jobs.cancel', ('job', 'job_0123456789abcdef'))
    """
    parts = call.path.removeprefix("/v1/").split("/")
    ids = [part for part in parts if _ID.fullmatch(part)]
    words = [part for part in parts if part not in ids]
    if not ids or parts[-1] == ids[-1]:
        words.append(_VERBS.get(call.method, call.method.lower()))
    return "console." + ".".join(words), (parts[0].removesuffix("s"), ids[-1] if ids else _made(answer))


def _made(answer: Answer) -> str:
    try:
        return str(answer.data.get("id") or "")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
