"""Which permission of its key each operation needs: one table by the tag of its row; a GET reads, all others write."""

from collections.abc import Mapping
from typing import Any, Final

from producer.web.rows import Row
from shared.errors import Forbidden
from shared.key_holders import KeyHolder
from shared.permissions import Permission, Resource, allows, permission

#: The cause of a refusal in one word.
INSUFFICIENT: Final = "insufficient_permissions"
#: What the operations of each tag are about; None: a key without any permission may ask, as it tells of nobody's own.
#: An operation that needs something else than its tag says so in its row (`Row.needs`).
RESOURCES: Final[Mapping[str, Resource | None]] = {
    "Chat": "jobs",
    "Embeddings": "jobs",
    "Images": "jobs",
    "Jobs": "jobs",
    "Files": "jobs",
    "Batches": "jobs",
    "Responses": "jobs",
    "Messages": "jobs",
    "Message batches": "jobs",
    "Fluence": "jobs",
    "Infuzu": "jobs",
    "Euqai": "jobs",
    "Fusionbase": "jobs",
    "Webhooks": "webhooks",
    "Events": "webhooks",
    "Credits": "billing",
    "Usage": "billing",
    "Models": None,
}


def needed(method: str, row: Row | None) -> Permission | None:
    """The permission that an operation needs of the key; KeyError for a tag that the table lacks. None: none."""
    if row is None or row.keyless or row.operator:
        return None
    if row.needs is not None:
        return None if row.needs == "nothing" else row.needs
    of = RESOURCES[row.tag]
    return None if of is None else permission(of, writes=method != "GET")


def check(scope: Mapping[str, Any], holder: KeyHolder) -> None:
    """403 that names the permission which the key lacks for the route of the request."""
    needs = scope.get("fusionai_needs")
    if needs is None or allows(holder.limits.permissions, needs):
        return
    given = ", ".join(sorted(holder.limits.permissions or ())) or "none"
    error = Forbidden(
        f"this API key lacks the permission {needs} (it has: {given}); use a key that has it", reason=INSUFFICIENT
    )
    error.details = {"permission": needs}
    raise error
