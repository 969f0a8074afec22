"""What an API key looks like, and the only form in which one is kept."""

import hashlib
import hmac
import secrets
import zlib
from typing import Final, Literal

from shared import key_secrets

Mode = Literal["live", "test"]

#: How keys begin.
PREFIXES: Final = ("fusionai_live_", "fusionai_test_")
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM, _CHECK = 32, 6


def new_key(mode: Mode) -> str:
    """`fusionai_live_` + 32 random characters + 6 of checksum over all before."""
    body = f"fusionai_{mode}_" + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return body + _checksum(body)


def well_formed(key: str) -> bool:
    """Whether a key has the shape and checksum of ours; a typo fails here, without a look at the database."""
    prefix = key.startswith(PREFIXES)
    return prefix and len(key) == 14 + _RANDOM + _CHECK and key.isascii() and _checksum(key[:-_CHECK]) == key[-_CHECK:]


def key_hash(key: str, secret: str | None = None) -> str:
    """The only form in which a key is stored: HMAC-SHA256 under the deployment's secret; that in force, or `secret`."""
    by = key_secrets.in_force() if secret is None else secret
    return hmac.new(by.encode(), key.encode(), hashlib.sha256).hexdigest()


def key_hashes(key: str) -> dict[str, str]:
    """The same under each secret that is accepted, that in force first: by hash, the secret."""
    return {key_hash(key, secret): secret for secret in key_secrets.accepted()}


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits += _ALPHABET[digit]
    return digits
