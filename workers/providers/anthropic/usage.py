"""What the Messages API says it used, in canonical terms. Pure.

Sources: platform.claude.com/docs/en/build-with-claude/prompt-caching (the input is three counts that exclude each
other: fresh, read from the cache, written into it, of which an hour's are told apart), …/api/service-tiers.
"""

from collections.abc import Mapping
from typing import Any

from shared.submissions.schemas import Usage
from workers.answers import reported


def used(given: Mapping[str, Any]) -> Usage | None:
    """The usage of a message, None when it says nothing that makes sense.

    >>> used({"input_tokens": 4, "cache_read_input_tokens": 6, "output_tokens": 2}).prompt_tokens
    10
    """
    return reported.of({"usage": given})
