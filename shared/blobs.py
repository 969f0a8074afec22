"""Bytes that do not belong in rows (pictures, in a directory), and the signed links under which they are served."""

import contextlib
import hashlib
import hmac
import os
import re
from pathlib import Path

from shared import clock
from shared.settings import settings

#: How long a link holds, and the bytes behind it are kept, in seconds.
LINK_SECONDS = 86_400
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,120}\.(png|jpg|webp)")
_KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp"}
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


def put_image(stem: str, content: bytes) -> str:
    """Keep a picture under a name made of `stem`; the same stem again replaces it. Its name."""
    kind = next((kind for magic, kind in _KINDS.items() if content.startswith(magic)), "png")
    name = f"{stem}.{kind}"
    directory = _directory()
    directory.mkdir(parents=True, exist_ok=True)
    part = directory / f"{name}.{os.getpid()}.part"
    part.write_bytes(content)
    part.replace(directory / name)
    return name


def image_path(name: str) -> Path | None:
    """Where a picture is; None when there is none of that name."""
    path = _directory() / name
    return path if _NAME.fullmatch(name) and path.is_file() else None


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
    oldest = clock.now_seconds() - LINK_SECONDS - 3600
    deleted = 0
    for path in _directory().glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another sweeper's
            if path.stat().st_mtime < oldest:
                path.unlink()
                deleted += 1
    return deleted


def _directory() -> Path:
    return settings().state_directory / "files" / "images"


def _signature(name: str, expires: int) -> str:
    return hmac.new(settings().key_secret.encode(), f"picture {name} {expires}".encode(), hashlib.sha256).hexdigest()
