"""The version that ran before this one, to run beside it: what a rolling deployment has for a while."""

import os
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Commits of one day are one version.
EARLIER = 12 * 3600
#: What was released last: the commit before the SDKs and what `deploy/` has for production.
RELEASED = "54dee632a728d8b97bc68c4328c91b995c779a85"


def older_source(directory: Path) -> Path:
    """The program as it was half a day or more before the newest commit, or at FUSIONAI_CHAOS_OLDER, unpacked there."""
    return source_of(os.environ.get("FUSIONAI_CHAOS_OLDER") or _earlier(), directory)


def source_of(commit: str, directory: Path) -> Path:
    """The program as it was at a commit, unpacked there."""
    archive = _git("archive", commit, "producer", "workers", "shared")
    with tarfile.open(fileobj=BytesIO(archive)) as packed:
        packed.extractall(directory, filter="data")
    return directory


def _earlier() -> str:
    newest = int(_git("log", "-1", "--format=%ct"))
    found = _git("log", "-1", "--first-parent", "--format=%H", f"--before={newest - EARLIER}").decode().strip()
    assert found, (
        "the history has no commit of an earlier day: git fetch --unshallow, or name one by FUSIONAI_CHAOS_OLDER"
    )
    return found


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, stdout=subprocess.PIPE).stdout
