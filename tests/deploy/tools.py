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
#: Program → the package of Debian's that has it.
TOOLS: Mapping[str, str] = {
    "caddy": "caddy",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "promtool": "prometheus",
    "shellcheck": "shellcheck",
    "systemd-analyze": "systemd",
}


def missing() -> list[str]:
    """The programs that are not here."""
    return [name for name in TOOLS if not find(name)]


def how_to_get(name: str) -> str:
    """What to do where a program is missing."""
    package = TOOLS.get(name)
    how = f"apt-get install --no-install-recommends {package} (Debian)" if package else "make deploy-check installs it"
    return f"{name} is missing: {how}"


@cache
def find(name: str) -> str | None:
    """The path of a program; None: it is not here."""
    return shutil.which(name, path=os.pathsep.join([*_PLACES, os.environ.get("PATH", "")]))


def run(name: str, *arguments: object, cwd: Path | None = None) -> str:
    """What a program prints, both streams; the test fails with that if its exit status is not 0."""
    path = find(name)
    assert path is not None, how_to_get(name)
    done = attempt([path, *map(str, arguments)], cwd=cwd)
    if done.returncode:
        pytest.fail(f"{name} {' '.join(map(str, arguments))}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def attempt(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same, whatever its exit status."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, cwd=cwd, text=True, timeout=300, check=False, **streams)  # type: ignore[call-overload,no-any-return]


if __name__ == "__main__":
    if "--packages" in sys.argv:  # for `apt-get install`
        print(*(TOOLS[name] for name in missing()))
    else:
        sys.exit("\n".join(map(how_to_get, missing())) or None)
