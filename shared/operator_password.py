"""The operator's password: whether a given one is it. It opens the operator's routes and the operator's console.

While it is changed there are several, of which each is good.
"""

import hmac
from typing import Final

from shared.settings import settings

#: The most characters that are looked at: a longer one is nobody's, and costs nothing to refuse.
MOST_CHARACTERS: Final = 1_000


def all_of_them() -> tuple[str, ...]:
    """Those that are good now."""
    return tuple(settings().operator_password.split())


def is_set() -> bool:
    """Whether there is one; without it nobody is the operator over HTTP."""
    return bool(all_of_them())


def matches(given: str) -> bool:
    """Whether it is a password, compared with each in constant time; never where none is set."""
    if len(given) > MOST_CHARACTERS:
        return False
    shown = given.encode(errors="replace")
    return any([hmac.compare_digest(shown, one.encode(errors="replace")) for one in all_of_them()])
