"""What a backup is: a directory whose `backup.json` is written last, so that a part of one is never taken for whole."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from shared.errors import Conflict, NotFound
from shared.files.blob_stores import sync_directory
from shared.settings import OPERATOR_PASSWORD

#: Of this layout; a backup of another is a newer version's.
FORMAT: Final = 1
MANIFEST: Final = "backup.json"
DATABASE: Final = "fusionai.sqlite3"
FILES: Final = "files"
#: Where blobs are (`shared.files.blobs`), below that.
PLACES: Final = ("files/", "outputs/", "plans/", "images/", "batchimages/")
#: The files of the state directory that are kept: secrets, and what was shown once.
SECRETS: Final = ("secrets.json", OPERATOR_PASSWORD, "first-account.json")
#: Bytes in memory at a time.
READ_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a backup."""

    format: int
    #: The version of FusionAI that made it, and the revision of its schema.
    version: str
    schema: str
    #: The moment to which it leads back, in microseconds: what was committed before is in it.
    made_at: int
    database_bytes: int
    database_sha256: str
    #: None: stored files were left out.
    files: int | None
    file_bytes: int | None
    #: The mark of the secret under which new API keys were hashed (`shared.key_secrets.mark`).
    key_secret: str

    def as_json(self) -> dict[str, Any]:
        """As it is written, and as `fusionai backup --json` shows it."""
        return asdict(self)


def write(directory: Path, manifest: Manifest) -> None:
    """Say that the backup is whole: all else of it is on the disk."""
    os.sync()
    partial = directory / f"{MANIFEST}.partial"
    with partial.open("w") as file:
        file.write(json.dumps(manifest.as_json(), indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(directory / MANIFEST)
    sync_directory(directory)


def read(directory: Path) -> Manifest:
    """What a backup says of itself; NotFound where there is no whole one, Conflict for one of a newer version."""
    try:
        found = json.loads((directory / MANIFEST).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{directory} is not a whole backup: it has no {MANIFEST}") from None
    except ValueError:
        raise NotFound(f"{directory} is not a whole backup: its {MANIFEST} cannot be read") from None
    if found.get("format") != FORMAT:
        raise Conflict(f"{directory} was made by a newer version of FusionAI ({found.get('version')})")
    return Manifest(**{name: found[name] for name in Manifest.__slots__})


def own_version() -> str:
    """The version of FusionAI that is installed here."""
    try:
        return metadata.version("fusionai")
    except metadata.PackageNotFoundError:
        return "unknown"


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
