"""The programs that check what is deployed, and what to say where one is missing: none is left out in silence."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

#: Where Debian has programs for root, and where the .venv has those of the lock.
_PLACES = (str(Path(sys.executable).parent), "/usr/sbin", "/sbin")
_DEBIAN = "Debian: apt-get install --no-install-recommends {}; elsewhere the package of that name"
#: Program → how to get it.
TOOLS: Mapping[str, str] = {
    "caddy": _DEBIAN.format("caddy"),
    "nginx": _DEBIAN.format("nginx-light"),
    "openssl": _DEBIAN.format("openssl"),
    "promtool": _DEBIAN.format("prometheus"),
    "shellcheck": _DEBIAN.format("shellcheck"),
    "systemd-analyze": _DEBIAN.format("systemd"),
}


def missing() -> list[str]:
    """A line for each program that is not here, with how to get it."""
    return [f"{name} is missing. {how}" for name, how in TOOLS.items() if not find(name)]


@cache
def find(name: str) -> str | None:
    """The path of a program; None: it is not here."""
    return shutil.which(name, path=os.pathsep.join([*_PLACES, os.environ.get("PATH", "")]))


def run(name: str, *arguments: object, cwd: Path | None = None) -> str:
    """What a program prints, both streams; the test fails with that if its exit status is not 0."""
    path = find(name)
    assert path is not None, f"{name} is missing. {TOOLS.get(name, 'make deploy-check installs it')}"
    done = attempt([path, *map(str, arguments)], cwd=cwd)
    if done.returncode:
        pytest.fail(f"{name} {' '.join(map(str, arguments))}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def attempt(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same, whatever its exit status."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, cwd=cwd, text=True, timeout=300, check=False, **streams)  # type: ignore[call-overload,no-any-return]


if __name__ == "__main__":
    sys.exit("\n".join(missing()) or None)
