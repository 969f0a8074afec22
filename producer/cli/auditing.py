"""What operators' commands say of themselves: who gives them, and their entries in the audit log."""

import os
import pwd
from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import click
from sqlalchemy import Connection, select

from shared import audit
from shared.audit import MOST_NAME, MOST_REASON, Action
from shared.db.models import accounts, api_keys
from shared.money import key_thresholds
from shared.objects.amounts import credits
from shared.settings import settings

P = ParamSpec("P")
R = TypeVar("R")

_OPERATOR: Final = "fusionai.operator"
#: What of a row is no setting that somebody has changed, or a secret.
_UNTOLD: Final = frozenset(
    {"id", "created_at", "hash", "hashed_by", "last_used_at", "available_micros", "held_micros", "sequence"}
    | {"test_sequence", "exhausted_armed", "end_armed", "account_id", "counted"}
)
_TABLES: Final = {"account": accounts, "key": api_keys}


def operator_option(function: Callable[P, R]) -> Callable[P, R]:
    """Give a command --operator, for its entry in the audit log (`audited`, `action`)."""
    option = click.option(
        "--operator",
        metavar="NAME",
        expose_value=False,
        callback=_keep,
        help="Your name in the audit log.  [default: FUSIONAI_OPERATOR, or the name of the system's user]",
    )
    return option(function)


def reason_option(function: Callable[P, R]) -> Callable[P, R]:
    """Give a command --reason, which it must be given."""
    option = click.option("--reason", required=True, metavar="TEXT", callback=_short, help="Why, for the audit log.")
    return option(function)


def reference_option(function: Callable[P, R]) -> Callable[P, R]:
    """Give a command --reference, by which a repetition is known."""
    words = "Your own name for this, such as a ticket: given again with the same, it is not done again."
    return click.option("--reference", metavar="NAME", callback=_short, help=words)(function)


def action(name: str, reason: str | None = None, reference: str | None = None) -> Action:
    """The action of the command that runs, by whoever gives it."""
    return Action(click.get_current_context().meta.get(_OPERATOR) or _default_operator(), name, reason, reference)


def audited(
    connection: Connection,
    what: Action,
    subject: tuple[str, str | None],
    change: Callable[Concatenate[Connection, P], R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Change an account or key, and write down which of its columns were changed; nothing where none was.

    `subject`: `account` or `key`, and its id; None: `change` makes it, and its value is or begins with the new id.
    """
    kind, id = subject
    before = {} if id is None else _settings(connection, kind, id)
    made = change(connection, *args, **kwargs)
    id = id or str(made[0] if isinstance(made, tuple) else made)
    after = _settings(connection, kind, id)
    changed = [name for name, value in after.items() if before.get(name) != value]
    if changed:
        account_id = id if kind == "account" else _account_of(connection, id)
        then = {name: before[name] for name in changed if name in before}
        now = {name: after[name] for name in changed}
        audit.record(connection, what, account_id, (kind, id), before=then or None, after=now)
    return made


def _settings(connection: Connection, kind: str, id: str) -> dict[str, Any]:
    table = _TABLES[kind]
    row = connection.execute(select(table).where(table.c.id == id)).mappings().first()
    found = {name: value for name, value in dict(row or {}).items() if name not in _UNTOLD}
    if kind == "key":
        levels = key_thresholds.of_key(connection, id)
        found["thresholds"] = [{"kind": one.kind, "credits": credits(one.level_micros)} for one in levels] or None
    return found


def _account_of(connection: Connection, key_id: str) -> str | None:
    return connection.execute(select(api_keys.c.account_id).where(api_keys.c.id == key_id)).scalar()


def _keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None and not 0 < len(value.strip()) <= MOST_NAME:
        raise click.BadParameter(f"a name has 1 to {MOST_NAME} characters")
    if value:
        context.meta[_OPERATOR] = value.strip()


def _short(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    most = MOST_REASON if parameter.name == "reason" else MOST_NAME
    if value is not None and not 0 < len(value.strip()) <= most:
        raise click.BadParameter(f"1 to {most} characters")
    return value.strip() if value else None


def _default_operator() -> str:
    if settings().operator:
        return settings().operator
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
