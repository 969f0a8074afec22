"""What the Messages API says it used, in canonical terms. Pure.

Sources: platform.claude.com/docs/en/build-with-claude/prompt-caching (the input is three counts that exclude each
other: fresh, read from the cache, written into it, of which an hour's are told apart), …/api/service-tiers.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from shared.submissions.schemas import Usage
from workers.answers import reported

#: The tier of whoever asks for none.
_STANDARD: Final = "standard"


def used(given: Mapping[str, Any]) -> Usage | None:
    """The usage of a message, None when it says nothing that makes sense.

    >>> used({"input_tokens": 4, "cache_read_input_tokens": 6, "output_tokens": 2}).prompt_tokens
    10
    """
    found = reported.of({"usage": given})
    if found is None:
        return None
    tier = given.get("service_tier")
    return replace(
        found,
        cache_creation_1h_tokens=_hour(given.get("cache_creation"), found.cache_creation_tokens),
        service_tier=tier if isinstance(tier, str) and tier != _STANDARD else "",
    )


def _hour(creation: Any, written: int | None) -> int | None:
    """Of what was written into the cache, what is kept for an hour; never more than all of it."""
    count = creation.get("ephemeral_1h_input_tokens") if isinstance(creation, dict) else None
    return count if type(count) is int and 0 <= count <= (written or 0) else None
