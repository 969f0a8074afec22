"""Authentication of Flower: it does not start without a password.

Flower takes its users from FLOWER_BASIC_AUTH (`fusionai up` sets it) or its own options, and without any shows its
pages to everybody. It loads our Celery app as its first deed; then this has a look.
"""

from typing import Any

import click

from shared.settings import settings

_USER = "admin"


def watch(**_: Any) -> None:
    """Receiver of Celery's `import_modules`: in a Flower without users, set ours or end the process."""
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "flower":
        return
    from tornado.options import options

    if options.auth or _all_have_passwords(options.basic_auth):
        return
    if not settings().flower_password:
        raise SystemExit("Flower requires a password: set FUSIONAI_FLOWER_PASSWORD, or FLOWER_BASIC_AUTH=user:password")
    options.basic_auth = [f"{_USER}:{settings().flower_password}"]


def _all_have_passwords(users: list[str]) -> bool:
    return bool(users) and all(user.partition(":")[2].strip() for user in users)
