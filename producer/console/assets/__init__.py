"""The files that pages load: our own, and others' as they were published, each named with its version and hash."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Vendored:
    """A file of others: from which package of npm, and the SHA-256 of what was published."""

    name: str
    package: str
    version: str
    path: str
    sha256: str
    licence: str


VENDORED: Final = (
    Vendored(
        "htmx.min.js",
        "htmx.org",
        "2.0.11",
        "dist/htmx.min.js",
        "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
        "htmx.LICENSE",
    ),
    Vendored(
        "uplot.min.js",
        "uplot",
        "1.6.32",
        "dist/uPlot.iife.min.js",
        "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uplot.LICENSE",
    ),
    Vendored(
        "uplot.min.css",
        "uplot",
        "1.6.32",
        "dist/uPlot.min.css",
        "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        "uplot.LICENSE",
    ),
)
_OWN: Final = ("console.css", "console.js", "icon.svg")
_MEDIA_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def url(name: str) -> str:
    """Where a page finds a file: under a name that changes with it, so that a browser may keep it for ever."""
    return f"/console/assets/{_digests()[name]}/{name}"


def load(digest: str, name: str) -> tuple[bytes, str] | None:
    """A file's bytes and media type; None: there is none of that name and hash."""
    if _digests().get(name) != digest:
        return None
    return _content(name), _MEDIA_TYPES[Path(name).suffix]


@cache
def _content(name: str) -> bytes:
    return (_HERE / name).read_bytes()


@cache
def _digests() -> dict[str, str]:
    names = (*_OWN, *(one.name for one in VENDORED))
    return {name: hashlib.sha256(_content(name)).hexdigest()[:16] for name in names}
