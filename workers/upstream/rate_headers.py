"""Reads the rate limits from the headers of a provider's answer, in any of their many forms. Pure.

- OpenAI, Azure, Groq, Together, Fireworks: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, resets as lengths
  of time, `6m0s`; Azure's as bare seconds.
- Mistral, Cerebras: `x-ratelimit-{limit,remaining}-{req,requests,tokens}-{minute,day}`, `ratelimitbysize-{limit,…}`.
- Anthropic: `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, resets as
  points of time by RFC 3339.
- The IETF's drafts: `ratelimit-{limit,remaining,reset}`; `ratelimit: limit=…, remaining=…, reset=…`; `ratelimit:
  "name";r=…;t=…` beside `ratelimit-policy: "name";q=…;w=…`.

Names are read by their words, so that all of these are one rule. Over which time a limit counts few say (Groq's
of requests is a day's), so it is not read. What is negative (Azure's -1), no number, or about something else (images,
a subscription's share) is not read either.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache

from shared import durations
from shared.providers.limits import ProviderLimit, RateLimits

__all__ = ["ProviderLimit", "RateLimits", "read"]

_KINDS = frozenset({"limit", "remaining", "reset"})
_UNITS = {"requests": "requests", "request": "requests", "req": "requests", "tokens": "tokens"}
_BESIDE = frozenset(
    {"x", "anthropic", "ratelimit", "input", "output", "prompt", "generated", "second", "minute", "day"}
)
#: The drafts' short names within one header.
_SHORT = {"limit": "limit", "remaining": "remaining", "reset": "reset", "q": "limit", "r": "remaining", "t": "reset"}
#: Later than any length of time is long: a point of time, in seconds or milliseconds since 1970.
_EPOCH = 1e9


def read(headers: Mapping[str, str], *, now_seconds: float | None = None) -> RateLimits | None:
    """The limits that an answer's headers state; None when they state none.

    A reset at a point of time is compared with the answer's `Date`, or without one with `now_seconds`.
    """
    groups: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for name, value in headers.items():
        if "ratelimit" in (name := name.lower()):
            for group, unit, kind, said in _stated(name, value):
                groups[group, unit].setdefault(kind, said)
    found: dict[str, ProviderLimit] = {}
    for (_, unit), group_values in groups.items():
        limit = _limit(group_values, headers, now_seconds)
        if limit is not None and (unit not in found or _left(limit) < _left(found[unit])):
            found[unit] = limit
    return RateLimits(found.get("requests"), found.get("tokens")) if found else None


def _stated(name: str, value: str) -> Iterator[tuple[str, str, str, str]]:
    """What one header states: of which group of headers, in which unit, which of the three, and its text."""
    if name in ("ratelimit", "ratelimit-policy"):
        yield from _draft(value[:1000])
    elif (place := _place(name)) is not None:
        yield (*place, value.partition(",")[0].partition(";")[0])


@lru_cache(maxsize=256)
def _place(name: str) -> tuple[str, str, str] | None:
    words = name.replace("ratelimitbysize", "ratelimit-tokens").split("-")
    kinds = [word for word in words if word in _KINDS]
    units = {_UNITS[word] for word in words if word in _UNITS}
    if len(kinds) != 1 or len(units) > 1 or not _KINDS.union(_UNITS, _BESIDE).issuperset(words):
        return None
    group = "-".join(word for word in words if word not in _KINDS)
    return group, units.pop() if units else "requests", kinds[0]


def _draft(value: str) -> Iterator[tuple[str, str, str, str]]:
    """The drafts' one header: `limit=10, remaining=5, reset=3`, or items `"name";r=5;t=3`, one for each policy."""
    group = "draft"
    for item in value.split(","):
        first, *parameters = item.split(";")
        if "=" not in first:
            group = first.strip().strip('"').lower()
            unit = "tokens" if "token" in group else "requests"
        else:
            unit, parameters = "requests", [first]
        for parameter in parameters:
            key, _, said = parameter.partition("=")
            if (kind := _SHORT.get(key.strip())) is not None:
                yield group, unit, kind, said


def _limit(
    group_values: Mapping[str, str], headers: Mapping[str, str], now_seconds: float | None
) -> ProviderLimit | None:
    limit, remaining = (durations.number(group_values.get(kind, "")) for kind in ("limit", "remaining"))
    if limit is None and remaining is None:
        return None
    reset = _reset(group_values["reset"], headers, now_seconds) if "reset" in group_values else None
    return ProviderLimit(_whole(limit), _whole(remaining), reset)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _reset(said: str, headers: Mapping[str, str], now_seconds: float | None) -> float | None:
    if (length := durations.seconds(said)) is not None:
        return length
    if (at := durations.number(said)) is None:
        return durations.until(said, headers, now_seconds)
    if now_seconds is None or at < _EPOCH:
        return None
    return durations.plausible(max((at / 1000 if at >= _EPOCH * 1000 else at) - now_seconds, 0.0))


def _left(limit: ProviderLimit) -> float:
    """How much of it is left, as a share; what does not say so has all."""
    return 1.0 if not limit.limit or limit.remaining is None else limit.remaining / limit.limit
