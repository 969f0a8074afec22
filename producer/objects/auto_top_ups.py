"""The automatic top-up of an account. Pure."""

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict

from shared.objects.amounts import credits
from shared.objects.fields import Credits


class AutoTopUp(TypedDict):
    """What is bought when fewer than `threshold` credits are available.

    `status`: `active`; `limited`, by the `monthly_limit`; `stopped`, after a payment that failed (`reason`); or `off`.
    """

    object: Literal["auto_top_up"]
    enabled: bool
    threshold: Credits | None
    credits: Credits | None
    monthly_limit: Credits | None
    bought_this_month: Credits
    status: Literal["active", "limited", "stopped", "off"]
    reason: str | None


def auto_top_up_object(row: Mapping[str, Any] | None) -> AutoTopUp:
    """It, from the account's row with `bought_micros`; None: the account has never wanted one."""
    if row is None:
        nothing: dict[str, Any] = dict.fromkeys(("threshold", "credits", "monthly_limit", "reason"))
        return {"object": "auto_top_up", "enabled": False, "bought_this_month": 0, "status": "off", **nothing}  # type: ignore[typeddict-item]
    return {
        "object": "auto_top_up",
        "enabled": bool(row["enabled"]),
        "threshold": credits(row["threshold_micros"]),
        "credits": credits(row["credits_micros"]),
        "monthly_limit": credits(row["monthly_micros"]),
        "bought_this_month": credits(row["bought_micros"]),
        "status": _status(row),
        "reason": row["stopped"],
    }


def _status(row: Mapping[str, Any]) -> Literal["active", "limited", "stopped", "off"]:
    if not row["enabled"]:
        return "off"
    if row["stopped"]:
        return "stopped"
    return "limited" if row["bought_micros"] + row["credits_micros"] > row["monthly_micros"] else "active"
