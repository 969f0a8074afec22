"""Transfers as their rows: what a Book writes of the moves that it has decided, and what ends holds without one."""

from collections.abc import Sequence
from typing import Any

from shared import clock


def new_ids(count: int) -> list[str]:
    """The ids of so many transfers."""
    return clock.new_ids("tr", count)


def ending(
    account_id: str,
    subject: tuple[str, str],
    held: int,
    charge: int,
    now: int,
    ids: Sequence[str] = ("", ""),
) -> list[dict[str, Any]]:
    """The transfers of the end of a hold: `charge` of it goes to revenue, the rest is available again.

    `ids`: for both, of which one may not be needed; empty: made here.
    """
    if not 0 <= charge <= held:
        raise ValueError(f"a charge of {charge} does not fit in a hold of {held}")
    made = []
    if charge:
        made.append(transfer(account_id, "charge", "held", "revenue", charge, subject, now, id=ids[0]))
    if held > charge:
        rest = held - charge
        made.append(transfer(account_id, "release", "held", "available", rest, subject, now, id=ids[1]))
    return made


def transfer(
    account_id: str,
    kind: str,
    from_purse: str,
    to_purse: str,
    micros: int,
    subject: tuple[str, str],
    now: int,
    note: str | None = None,
    *,
    id: str = "",
) -> dict[str, Any]:
    """A transfer from one purse to another, as its row."""
    return {
        "id": id or clock.new_id("tr"),
        "account_id": account_id,
        "kind": kind,
        "from_purse": from_purse,
        "to_purse": to_purse,
        "amount_micros": micros,
        "subject_type": subject[0],
        "subject_id": subject[1],
        "note": note,
        "created_at": now,
    }
