"""Where deliveries go and what signs them: a webhook's row, or, of a callback, the delivery's own address.

A callback's delivery names its account's callback secret in the place of a webhook. Both are joined from the outside,
so that each is found by its key.
"""

from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import Select, case, func, literal

from shared.db import models as m

_HOOKS, _CALLBACKS = m.webhooks, m.callback_secrets
#: Of a delivery to a callback, not to a webhook.
IS_CALLBACK: Final = m.deliveries.c.url.is_not(None)
URL: Final = func.coalesce(m.deliveries.c.url, _HOOKS.c.url)
#: `enabled` of a callback, whose secret is there; NULL of a webhook that is not there any more.
STATUS: Final = case((_CALLBACKS.c.id.is_not(None), literal("enabled")), else_=_HOOKS.c.status)
ACCOUNT: Final = func.coalesce(_CALLBACKS.c.account_id, _HOOKS.c.account_id)
#: What is loaded to send with, beside the event: see `workers.webhooks.claims`.
COLUMNS: Final = (
    IS_CALLBACK.label("callback"),
    URL.label("url"),
    func.coalesce(_CALLBACKS.c.secret, _HOOKS.c.secret).label("secret"),
    case((_CALLBACKS.c.id.is_not(None), _CALLBACKS.c.old_secrets), else_=_HOOKS.c.old_secrets).label("old_secrets"),
    *(_HOOKS.c[name] for name in ("previous_secret", "previous_until", "paused_until", "failing_since", "failed_at")),
    STATUS.label("hook_status"),
    func.coalesce(_CALLBACKS.c.test, _HOOKS.c.test).label("hook_test"),
)


def joined(statement: Select[Any]) -> Select[Any]:
    """The statement, over deliveries, with whom they go to; rows of neither have no account and no status."""
    statement = statement.outerjoin(_CALLBACKS, _CALLBACKS.c.id == m.deliveries.c.webhook_id)
    return statement.outerjoin(_HOOKS, _HOOKS.c.id == m.deliveries.c.webhook_id)


def line_of(webhook_id: str, url: str, callback: bool) -> str:
    """What is sent one after the other, by name: a webhook's deliveries, or an account's callbacks to one host."""
    if not callback:
        return webhook_id
    try:
        return f"{webhook_id} {urlsplit(url).netloc.lower()}"
    except ValueError:
        return f"{webhook_id} {url}"


def place(line: str, url: str) -> str:
    """What a line's receiver is known by: the URL of a webhook, the host of callbacks, whose URLs are many."""
    _, of_host, host = line.partition(" ")
    return f"//{host}" if of_host else url
