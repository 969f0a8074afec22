"""Builds the Python distribution from the files that git knows, into dist/: `python -m deploy.packages`.

The wheel is built from the unpacked sdist, so that the sdist is known to be whole. Nothing is fetched:
setuptools is that of `.venv`. Both are the same bytes whoever builds them, whenever: times are those of the commit
(or SOURCE_DATE_EPOCH), owners nobody's, modes one of two.
"""

import gzip
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from shared.environment import inherited

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
_BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def build(target: Path = DIST) -> tuple[Path, Path]:
    """The wheel and the sdist, in `target`; others of before are removed."""
    target.mkdir(exist_ok=True)
    for old in [*target.glob("fusionai-*.whl"), *target.glob("fusionai-*.tar.gz")]:
        old.unlink()
    epoch = _epoch()
    with tempfile.TemporaryDirectory() as directory:
        tree, unpacked = Path(directory) / "tree", Path(directory) / "sdist"
        _copy_tracked(tree)
        sdist = target / _built("build_sdist", tree, target, epoch)
        _settle(sdist, epoch)
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked, filter="data")
        (source,) = unpacked.iterdir()
        return target / _built("build_wheel", source, target, epoch), sdist


def _epoch() -> int:
    """Seconds: the time that files are given."""
    if given := inherited().get("SOURCE_DATE_EPOCH"):
        return int(given)
    command = ["git", "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def _settle(sdist: Path, epoch: int) -> None:
    """Write a sdist anew, without what differs from builder to builder."""
    with tarfile.open(sdist) as archive:
        members = [(one, archive.extractfile(one)) for one in sorted(archive, key=lambda one: one.name)]
        contents = [(one, content.read() if content else b"") for one, content in members]
    with sdist.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for one, content in contents:
                one.mtime, one.uid, one.gid, one.uname, one.gname = epoch, 0, 0, "", ""
                one.mode, one.pax_headers = 0o755 if one.isdir() or one.mode & 0o100 else 0o644, {}
                archive.addfile(one, io.BytesIO(content))


def _copy_tracked(tree: Path) -> None:
    """The files of the checkout as they are now, without what git ignores or does not know."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())


def _built(hook: str, source: Path, target: Path, epoch: int) -> str:
    """The name of the file that a hook of the build backend (PEP 517) has made."""
    command = [sys.executable, "-W", "ignore", "-c", _BUILD, hook, str(target)]
    environment = {**inherited(), "SOURCE_DATE_EPOCH": str(epoch)}
    ran = subprocess.run(command, cwd=source, env=environment, umask=0o022, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"{hook} failed:\n{ran.stderr}")
    return ran.stdout.splitlines()[-1]


if __name__ == "__main__":
    for made in build():
        print(f"{made.relative_to(ROOT)}  {made.stat().st_size:,} bytes")
