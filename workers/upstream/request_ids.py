"""What a provider calls a call by, which its support and its exports of usage know. Pure.

Sources: platform.openai.com/docs/api-reference/debugging-requests (`x-request-id`, which most take over),
platform.claude.com/docs/en/api/errors#request-id (`request-id`), learn.microsoft.com/azure/api-management
(`apim-request-id`).
"""

import re
from collections.abc import Mapping
from typing import Final

#: The headers that have it, the likeliest first.
HEADERS: Final = ("x-request-id", "request-id", "apim-request-id")
#: Anything else is no id, and is not kept: it may be as long as the provider likes.
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{2,127}")


def of(headers: Mapping[str, str]) -> str | None:
    """The id that an answer's headers (their names in small letters) give; None: none that could be one.

    >>> of({"request-id": "req_018EeW"}), of({"x-request-id": "a b"})
    ('req_018EeW', None)
    """
    for name in HEADERS:
        if (found := headers.get(name)) is not None and _ID.fullmatch(found):
            return found
    return None
