"""Which addresses this deployment sends events to: those of webhooks, and the `callback_url` of jobs and batches.

What is decided when one is named; the sender judges again whenever it connects (workers.webhooks.client).
"""

from typing import Any

from shared.errors import InvalidRequest
from shared.network import urls
from shared.network.permissions import Permissions
from shared.settings import settings
from shared.settings_values import allow_list

#: What a job or batch calls it.
CALLBACK_FIELD = "callback_url"


def permissions() -> Permissions:
    """What the operator allows."""
    own = settings()
    return Permissions(own.webhooks_allow_loopback, own.webhooks_allow_private, allow_list(own.webhooks_allow))


def check(url: str, param: str = "url") -> None:
    """Refuse an address that could never be delivered to: a 400 that says why."""
    urls.check_url(url, permissions(), param=param)


def callback(value: Any, at: str = "") -> str | None:
    """The checked `callback_url` of a body; null is none. `at`: where the field stands in the body."""
    param = f"{at}{CALLBACK_FIELD}"
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRequest(f"{param} must be a string", param=param)
    check(value, param)
    return value
