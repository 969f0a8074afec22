"""The balance, the thresholds, and the transfer object. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from shared.clock import MICROS
from shared.money.lots import Lot
from shared.objects.amounts import credits
from shared.objects.fields import Credits, Time


class Threshold(TypedDict):
    """When `credit.threshold` is sent: at a number of credits remaining, or spent in the calendar month (UTC)."""

    kind: Literal["remaining", "spent"]
    credits: Credits


class Thresholds(TypedDict):
    """The account's thresholds."""

    object: Literal["thresholds"]
    thresholds: list[Threshold]


class Spent(TypedDict):
    """Credits spent in a calendar month (UTC), and on its current day."""

    period: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
    credits: Credits
    today: Credits


class Expiring(TypedDict):
    """Credits that expire at `expires_at` if they are unspent by then; those that expire first are spent first."""

    credits: Credits
    expires_at: Time


class Balance(TypedDict):
    """`available` credits can be spent, `held` are reserved for unfinished jobs, `remaining` is the sum of both."""

    object: Literal["credits"]
    available: Credits
    held: Credits
    remaining: Credits
    spent: Spent
    thresholds: list[Threshold]
    expiring: list[Expiring]


class CreditDay(TypedDict):
    """A day, UTC: what remained at its end, what came in on it (less what expired or was taken), and what was spent."""

    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    remaining: Credits
    added: Credits
    spent: Credits


class CreditHistory(TypedDict):
    """The days of a period, the oldest first."""

    object: Literal["credit_history"]
    data: list[CreditDay]


class Subject(TypedDict):
    """The object that a transfer belongs to."""

    type: str
    id: str


_From = TypedDict("_From", {"from": str})


class Transfer(_From):
    """One transfer of credits."""

    id: str
    object: Literal["transfer"]
    kind: Literal["grant", "hold", "charge", "release", "refund", "adjust", "expire"]
    to: str
    credits: Credits
    subject: Subject
    created_at: Time


def balance_object(
    account: Mapping[str, Any],
    month: str,
    spent_micros: int,
    today_micros: int,
    levels: Sequence[Any],
    expiring: Sequence[Lot] = (),
) -> Balance:
    """The balance of an account's row; `levels` are the rows of its thresholds, `expiring` what will expire."""
    return {
        "object": "credits",
        "available": credits(account["available_micros"]),
        "held": credits(account["held_micros"]),
        "remaining": credits(account["available_micros"] + account["held_micros"]),
        "spent": {"period": month, "credits": credits(spent_micros), "today": credits(today_micros)},
        "thresholds": _thresholds(levels),
        "expiring": _expiring(expiring),
    }


def thresholds_object(levels: Sequence[Any]) -> Thresholds:
    """The account's thresholds from their rows."""
    return {"object": "thresholds", "thresholds": _thresholds(levels)}


def credit_day_object(day: date, remaining: int, added: int, spent: int) -> CreditDay:
    """A day of the history, of amounts in micro-credits."""
    return {"date": str(day), "remaining": credits(remaining), "added": credits(added), "spent": credits(spent)}


def credit_history_object(days: Sequence[CreditDay]) -> CreditHistory:
    """The history of these days."""
    return {"object": "credit_history", "data": list(days)}


def transfer_object(row: Mapping[str, Any]) -> Transfer:
    """A transfer from its row."""
    return {
        "id": row["id"],
        "object": "transfer",
        "kind": row["kind"],
        "from": row["from_purse"],
        "to": row["to_purse"],
        "credits": credits(row["amount_micros"]),
        "subject": {"type": row["subject_type"], "id": row["subject_id"]},
        "created_at": row["created_at"] // MICROS,
    }


def _expiring(lots: Sequence[Lot]) -> list[Expiring]:
    """By expiry, the soonest first; what expires in the same second is one."""
    sums: dict[int, int] = {}
    for lot in lots:
        second = lot.expires_at // MICROS
        sums[second] = sums.get(second, 0) + lot.unspent
    return [{"credits": credits(micros), "expires_at": second} for second, micros in sorted(sums.items())]


def _thresholds(levels: Sequence[Any]) -> list[Threshold]:
    return [{"kind": row.kind, "credits": credits(row.level_micros)} for row in levels]
