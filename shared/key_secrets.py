"""The secrets under which keys of the API are hashed and links are signed: the one in force, the next, the old ones.

A secret is changed in three rolling restarts (deploy/cluster.md): every process accepts the next one; it is in force,
and the one before is accepted as an old one; the old one is taken away. What is made is made under the one in force.
What is shown to us is tried under all that are accepted, never under fewer, so that time tells nothing of which it was.
"""

import hashlib
import hmac
from functools import lru_cache
from typing import Final

from shared.settings import Settings, settings
from shared.settings_values import secrets_of

#: Hexadecimal digits of a mark: enough to tell a handful of secrets apart.
_DIGITS: Final = 16


def in_force() -> str:
    """The secret under which everything is made now."""
    return settings().key_secret


def old(own: Settings | None = None) -> tuple[str, ...]:
    """Secrets of before, the newest first: what stands under them is good, and put under the one in force when used."""
    return secrets_of((own or settings()).key_secrets_old)


def accepted(own: Settings | None = None) -> tuple[str, ...]:
    """All of them, the one in force first; of this process' settings, unless others are given."""
    own = own or settings()
    return (own.key_secret, *([own.key_secret_next] if own.key_secret_next else []), *old(own))


@lru_cache(maxsize=16)
def mark(secret: str) -> str:
    """What a row says of the secret that it stands under, and people compare: it tells nothing of a secret itself."""
    return hmac.new(secret.encode(), b"fusionai mark of a key secret", hashlib.sha256).hexdigest()[:_DIGITS]
