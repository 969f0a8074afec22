"""Who changed what in the console: the entry in the audit log of a call that changes something, or of anything else."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from producer.admission.audited import Entry
from producer.console.api import Call
from shared import audit
from shared.console_sessions import Session

_VERBS = {"POST": "create", "PATCH": "update", "PUT": "set", "DELETE": "delete"}
#: What an id looks like: `job_019a…`.
_ID = re.compile(r"[a-z]+[_-][0-9a-f]{6,}")


def entry(session: Session, call: Call, changed: Callable[[Any], bool] | None = None) -> Entry:
    """The entry of a call, which the call's own transaction writes. `changed`: whether an answer says that it did."""
    name, kind, id = described(call)
    account_id = None if session.holder is None else session.holder.account_id
    action = audit.Action(session.who, name)
    return Entry(action, account_id, kind, id) if changed is None else Entry(action, account_id, kind, id, changed)


def note(
    connection: Connection,
    session: Session,
    name: str,
    account_id: str | None,
    subject: tuple[str, str],
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add the entry of what this transaction has done, and no call of the API; `name` as `console.sign_in`."""
    audit.record(connection, audit.Action(session.who, name), account_id, subject, before=before, after=after)


def described(call: Call) -> tuple[str, str, str]:
    """What an entry calls a call, and the type and id of what it changes; no id: of what it makes.

    >>> described(Call("POST", "/v1/jobs/job_0123456789abcdef/cancel"))
    ('console.jobs.cancel', 'job', 'job_0123456789abcdef')
    """
    parts = call.path.removeprefix("/v1/").split("/")
    ids = [part for part in parts if _ID.fullmatch(part)]
    words = [part for part in parts if part not in ids]
    if not ids or parts[-1] == ids[-1]:
        words.append(_VERBS.get(call.method, call.method.lower()))
    kind = "batch" if parts[0] == "batches" else parts[0].removesuffix("s")
    return "console." + ".".join(words), kind, ids[-1] if ids else ""
