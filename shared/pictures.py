"""Pictures that jobs made: kept as blobs, served under signed links that need no key and hold for a day."""

import hashlib
import hmac
import re

from shared import blobs, clock
from shared.settings import settings

#: How long a link holds, and the bytes behind it are kept, in seconds.
LINK_SECONDS = 86_400
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,119}\.(png|jpg|webp)")
_KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp"}
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


def put(stem: str, content: bytes) -> str:
    """Keep a picture under a name made of `stem`; the same stem again replaces it. Its name."""
    kind = next((kind for magic, kind in _KINDS.items() if content.startswith(magic)), "png")
    name = f"{stem}.{kind}"
    with blobs.writer(f"images/{name}") as file:
        file.write(content)
    return name


def read(name: str) -> bytes | None:
    """The picture's bytes; None when there is none of that name."""
    if not _NAME.fullmatch(name):
        return None
    try:
        with blobs.reader(f"images/{name}") as file:
            return file.read()
    except FileNotFoundError:
        return None


def link(name: str) -> str:
    """A link to a picture that needs no key and holds for a day."""
    expires = clock.now_seconds() + LINK_SECONDS
    base = settings().public_url.rstrip("/").removesuffix("/v1")
    return f"{base}/v1/pictures/{name}?expires={expires}&signature={_signature(name, expires)}"


def holds(name: str, expires: int, signature: str) -> bool:
    """Whether a link is one of ours and has not expired."""
    signed = hmac.compare_digest(_signature(name, expires).encode(), signature.encode("utf-8", "replace"))
    return signed and clock.now_seconds() <= expires


def forget_old() -> int:
    """Delete the pictures whose links have all expired; how many."""
    return blobs.forget_old("images/", LINK_SECONDS + 3600)


def _signature(name: str, expires: int) -> str:
    return hmac.new(settings().key_secret.encode(), f"picture {name} {expires}".encode(), hashlib.sha256).hexdigest()
