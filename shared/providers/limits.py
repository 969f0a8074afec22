"""The rate limits that a provider reports, as errors and answers carry them. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProviderLimit:
    """One limit: how much it admits, how much is left, in how many seconds it is whole again; None: not told."""

    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The limits by requests and by tokens, of those that a provider told the one that is nearest to its end."""

    requests: ProviderLimit | None = None
    tokens: ProviderLimit | None = None
