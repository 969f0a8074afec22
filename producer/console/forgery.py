"""Whether a POST comes from one of our own pages: its token, and what the browser says of where it began. Pure.

The token is derived from the session's, and looks different in each page (a random mask, and the token under it), so
that nothing is learned of it from the length of compressed pages.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

#: Bytes of a token, and of its mask.
_BYTES = 32


def token(session_token: str) -> str:
    """A token for the forms of one page."""
    mask = secrets.token_bytes(_BYTES)
    return base64.urlsafe_b64encode(mask + _mixed(mask, _own(session_token))).decode().rstrip("=")


def holds(given: str, session_token: str) -> bool:
    """Whether a form's token is one of the session's."""
    try:
        whole = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
    except (binascii.Error, ValueError):
        return False
    if len(whole) != 2 * _BYTES:
        return False
    return hmac.compare_digest(_mixed(whole[:_BYTES], whole[_BYTES:]), _own(session_token))


def parted(given: str) -> tuple[str, str]:
    """What a form's field has: its token, and what its page looked at when it was made.

    >>> parted("AAAA.acct_1:live"), parted("AAAA")
    (('AAAA', 'acct_1:live'), ('AAAA', ''))
    """
    own, _, about = given.partition(".")
    return own, about


def is_from_here(headers: Mapping[str, str], hosts: Collection[str]) -> bool:
    """Whether the browser says that a request was made by a page of one of these hosts (`name:port`)."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is not None and origin != "null":
        return urlsplit(origin).netloc.lower() in hosts
    return site is not None


def _own(session_token: str) -> bytes:
    return hmac.new(session_token.encode(), b"fusionai console form", hashlib.sha256).digest()


def _mixed(mask: bytes, value: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(mask, value, strict=True))
