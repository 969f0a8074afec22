"""What a provider's answer says of its rate limits: the many headers for it, read to one shape. Pure."""

from collections.abc import Mapping

from shared.provider_limits import Limit, RateLimits

__all__ = ["Limit", "RateLimits", "read"]


def read(headers: Mapping[str, str]) -> RateLimits | None:
    """The limits that an answer's headers tell; None when they tell none."""
    return None
