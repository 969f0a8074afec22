"""Images that jobs made: blobs under unique names, served under signed links that need no key.

A link holds for a day; that of a line of a batch as long as the batch's output file may be kept.
"""

import contextlib
import hashlib
import hmac
import re
from functools import lru_cache

from shared import clock, key_secrets
from shared.files import blobs
from shared.settings import settings

#: How long a link holds, and the bytes behind it are kept, in seconds.
LINK_SECONDS = 86_400
#: The same for a batch: its longest window, a week, and the 30 days for which its output is kept.
BATCH_LINK_SECONDS = 37 * 86_400
_PLACES = {"images/": LINK_SECONDS, "batchimages/": BATCH_LINK_SECONDS}
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,119}\.(png|jpg|webp|gif|bin)")
#: How each kind begins. The length of a RIFF file stands between the two words of a WebP.
_KINDS = (
    (re.compile(rb"\x89PNG"), "png"),
    (re.compile(rb"\xff\xd8\xff"), "jpg"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "webp"),
    (re.compile(rb"GIF8[79]a"), "gif"),
)
#: What no picture begins like is `bin`, and called nothing that a browser shows.
UNKNOWN = "bin"
MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    UNKNOWN: "application/octet-stream",
}


def put(stem: str, content: bytes, *, of_batch: bool = False) -> str:
    """Keep a picture under a name made of `stem`, which is its own: the same stem again replaces it. Its name."""
    name = f"{stem}.{kind_of(content)}"
    with blobs.writer(f"{'batchimages' if of_batch else 'images'}/{name}") as file:
        file.write(content)
    return name


def kind_of(content: bytes) -> str:
    """What bytes are by how they begin, whatever their name says: earlier releases called everything else `png`."""
    return next((kind for begin, kind in _KINDS if begin.match(content)), UNKNOWN)


def read(name: str) -> bytes | None:
    """The picture's bytes; None when there is none of that name."""
    if not _NAME.fullmatch(name):
        return None
    for place in _PLACES:
        with contextlib.suppress(FileNotFoundError), blobs.reader(place + name) as file:
            return file.read()
    return None


def link(name: str, *, of_batch: bool = False) -> str:
    """A link to a picture that needs no key."""
    expires = clock.now_seconds() + (BATCH_LINK_SECONDS if of_batch else LINK_SECONDS)
    base = settings().public_url.rstrip("/").removesuffix("/v1")
    return f"{base}/v1/pictures/{name}?expires={expires}&signature={_signature(name, expires, key_secrets.in_force())}"


def holds(name: str, expires: int, signature: str) -> bool:
    """Whether a link is one of ours and has not expired."""
    given = signature.encode("utf-8", "replace")
    ways = (_signature, _signature_before)
    ours = [way(name, expires, secret) for secret in key_secrets.accepted() for way in ways]
    signed = [hmac.compare_digest(one.encode(), given) for one in ours]
    return any(signed) and clock.now_seconds() <= expires


def forget_old() -> int:
    """Delete the pictures whose links have all expired; how many."""
    return sum(blobs.forget_old(place, seconds + 3600) for place, seconds in _PLACES.items())


def _signature(name: str, expires: int, secret: str) -> str:
    return hmac.new(_key(secret), _signed(name, expires), hashlib.sha256).hexdigest()


def _signature_before(name: str, expires: int, secret: str) -> str:
    """By the secret itself, as earlier versions signed; such links may be 37 days old, and older workers make them."""
    return hmac.new(secret.encode(), _signed(name, expires), hashlib.sha256).hexdigest()


def _signed(name: str, expires: int) -> bytes:
    return f"picture {name} {expires}".encode()


@lru_cache(maxsize=16)
def _key(secret: str) -> bytes:
    """The key of links alone: what is signed for one thing is worth nothing for another."""
    return hmac.new(secret.encode(), b"fusionai picture links", hashlib.sha256).digest()
