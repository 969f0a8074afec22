"""Builds the Python distribution from the files that git knows, into dist/: `python -m deploy.packages`.

The wheel is built from the unpacked sdist, so that the sdist is known to be whole. Nothing is fetched:
setuptools is that of `.venv`.
"""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
_BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def build(target: Path = DIST) -> tuple[Path, Path]:
    """The wheel and the sdist, in `target`; others of before are removed."""
    target.mkdir(exist_ok=True)
    for old in [*target.glob("fusionai-*.whl"), *target.glob("fusionai-*.tar.gz")]:
        old.unlink()
    with tempfile.TemporaryDirectory() as directory:
        tree, unpacked = Path(directory) / "tree", Path(directory) / "sdist"
        _copy_tracked(tree)
        sdist = target / _built("build_sdist", tree, target)
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked, filter="data")
        (source,) = unpacked.iterdir()
        return target / _built("build_wheel", source, target), sdist


def _copy_tracked(tree: Path) -> None:
    """The files of the checkout as they are now, without what git ignores or does not know."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())


def _built(hook: str, source: Path, target: Path) -> str:
    """The name of the file that a hook of the build backend (PEP 517) has made."""
    command = [sys.executable, "-W", "ignore", "-c", _BUILD, hook, str(target)]
    ran = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"{hook} failed:\n{ran.stderr}")
    return ran.stdout.splitlines()[-1]


if __name__ == "__main__":
    for made in build():
        print(f"{made.relative_to(ROOT)}  {made.stat().st_size:,} bytes")
