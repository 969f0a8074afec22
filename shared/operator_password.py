"""The operator's password: whether a given one is it. It opens the operator's routes and the operator's console."""

import hmac
from typing import Final

from shared.settings import settings

#: The most characters that are looked at: a longer one is nobody's, and costs nothing to refuse.
MOST_CHARACTERS: Final = 1_000


def is_set() -> bool:
    """Whether there is one; without it nobody is the operator over HTTP."""
    return bool(settings().operator_password)


def matches(given: str) -> bool:
    """Whether it is the password, compared in constant time; never where none is set."""
    password = settings().operator_password
    if not password or len(given) > MOST_CHARACTERS:
        return False
    return hmac.compare_digest(given.encode(errors="replace"), password.encode(errors="replace"))
