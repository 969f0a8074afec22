"""Operations on automatic top-ups: show, set."""

from pydantic import Field
from sqlalchemy import Connection

from producer import objects
from producer.objects import AutoTopUp
from shared.clock import MICROS
from shared.errors import InvalidRequest
from shared.money import top_ups
from shared.money.purchases import price_of
from shared.settings import settings
from shared.submissions.schemas import Shape

#: How often it may be set in a minute: each time a card that was declined may be tried again.
SET_PER_MINUTE = 10


class AutoTopUpSpec(Shape):
    """The body of PUT /credits/auto_top_up. All but `enabled` may be absent where it is false."""

    enabled: bool
    #: Whole credits; fewer available than this is when credits are bought.
    threshold: int | None = Field(default=None, ge=1, le=10**9)
    #: How many are bought: at least the threshold, so that one purchase is enough.
    credits: int | None = Field(default=None, ge=1, le=10**9)
    #: The most that is bought so in a calendar month (UTC).
    monthly_limit: int | None = Field(default=None, ge=1, le=10**9)


def show(connection: Connection, account_id: str) -> AutoTopUp:
    """The account's automatic top-up."""
    return objects.auto_top_up_object(top_ups.shown(connection, account_id))


def set_auto_top_up(connection: Connection, account_id: str, spec: AutoTopUpSpec) -> AutoTopUp:
    """Replace it; switched off, it keeps the numbers that it had, unless others are given."""
    before = top_ups.shown(connection, account_id) or {}
    threshold, credits, monthly = (
        given * MICROS if given is not None else before.get(column, 0)
        for given, column in (
            (spec.threshold, "threshold_micros"),
            (spec.credits, "credits_micros"),
            (spec.monthly_limit, "monthly_micros"),
        )
    )
    if spec.enabled:
        _check(spec, threshold, credits, monthly)
    if spec.enabled or before:
        top_ups.change(connection, account_id, top_ups.Wish(spec.enabled, threshold, credits, monthly))
    return show(connection, account_id)


def _check(spec: AutoTopUpSpec, threshold: int, credits: int, monthly: int) -> None:
    for name in ("threshold", "credits", "monthly_limit"):
        if getattr(spec, name) is None:
            raise InvalidRequest(f"{name} is required where enabled is true", param=name)
    least, most = settings().purchase_least_credits, settings().purchase_most_credits
    if not least * MICROS <= credits <= most * MICROS:
        raise InvalidRequest(f"credits must be from {least:,} to {most:,} in one purchase", param="credits")
    price_of(credits)
    if credits < threshold:
        raise InvalidRequest("credits must be at least the threshold, so that one purchase is enough", param="credits")
    if monthly < credits:
        raise InvalidRequest("monthly_limit must be at least credits: otherwise none is bought", param="monthly_limit")
