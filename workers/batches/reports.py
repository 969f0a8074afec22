"""What the batches process logs of a batch: one line when it begins, and one when it ends."""

import logging

from shared import clock
from shared.batches.lines import FileReading
from shared.batches.states import Row
from shared.objects.amounts import credits

log = logging.getLogger(__name__)


def begins(row: Row, reading: FileReading) -> None:
    """It has been read and held for."""
    most = credits(0 if row["test"] else reading.bound_micros)
    log.info(
        "batch %s of account %s begins: %s lines, at most %s credits",
        *(row["id"], row["account_id"], f"{reading.total:,}", f"{most:,}"),
    )


def ends(row: Row) -> None:
    """It is over."""
    kinds = ("succeeded", "failed", "expired", "cancelled")
    counted = ", ".join(f"{row[kind]:,} {kind}" for kind in kinds if row[kind])
    seconds = (row[f"{row['status']}_at"] - row["created_at"]) / clock.MICROS
    log.info(
        "batch %s of account %s ends %s: %s, %s credits, %.1f s",
        *(row["id"], row["account_id"], row["status"]),
        *(counted or "no lines", f"{credits(row['charged_micros']):,}", seconds),
    )
