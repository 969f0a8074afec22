"""The `callback_url` of batches that were ended by a version which does not know it: what their sweeper writes late."""

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, select, text, update

from shared.db.models import batches
from shared.db.models.batches import OWING_CALLBACK
from shared.objects.batches import BATCH_OVER
from shared.webhooks import late_deliveries
from shared.webhooks.late_deliveries import OwedCallback


def untold(connection: Connection, most: int, besides: Sequence[str] = ()) -> list[str]:
    """Batches, but for some, that have ended and owe a delivery."""
    statement = select(batches.c.id).where(text(OWING_CALLBACK), batches.c.id.not_in(besides))
    return list(connection.execute(statement.order_by(batches.c.id).limit(most)).scalars())


def tell(connection: Connection, ids: Sequence[str]) -> tuple[int, list[str]]:
    """Write the deliveries of those of these batches that still owe them: how many batches, and the deliveries."""
    owing = update(batches).where(batches.c.id.in_(sorted(ids)), text(OWING_CALLBACK))
    rows = connection.execute(owing.values(callback_owed=False).returning(batches)).mappings().all()
    owed = [
        OwedCallback(row["account_id"], bool(row["test"]), "batch", row["id"], max(_ends(row)), row["callback_url"])
        for row in sorted(rows, key=lambda row: str(row["id"]))
        if row["callback_url"]
    ]
    return len(rows), late_deliveries.add(connection, owed)


def _ends(row: RowMapping) -> list[int]:
    return [row[f"{status}_at"] or 0 for status in BATCH_OVER]
