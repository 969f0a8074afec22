"""Permissions of API keys, as restricted keys have them: what a key may read, and what it may change. Pure."""

from collections.abc import Collection, Mapping
from typing import Final, Literal, get_args

#: `jobs`: requests to models, jobs, batches and their files; `billing`: credits, purchases, invoices and usage;
#: `webhooks`: endpoints, their secrets, events and deliveries. `write` includes `read`.
Permission = Literal["jobs:read", "jobs:write", "billing:read", "billing:write", "webhooks:read", "webhooks:write"]
Resource = Literal["jobs", "billing", "webhooks"]
PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)


def permission(of: Resource, *, writes: bool) -> Permission:
    """The permission to read something, or to change it."""
    named: Mapping[Resource, tuple[Permission, Permission]] = {
        "jobs": ("jobs:read", "jobs:write"),
        "billing": ("billing:read", "billing:write"),
        "webhooks": ("webhooks:read", "webhooks:write"),
    }
    return named[of][writes]


def allows(given: Collection[str] | None, needed: Permission) -> bool:
    """Whether a key with these permissions may do what needs one; None: it is not restricted.

    >>> allows(None, "jobs:read"), allows({"jobs:write"}, "jobs:read"), allows({"jobs:read"}, "jobs:write")
    (True, True, False)
    """
    return given is None or needed in given or needed.replace(":read", ":write") in given
