"""What the image would be, without a container engine: its install stage run here, and processes started as it would.

The commands of the Dockerfile's first stage are run as they stand, but that /opt/fusionai and /src are directories of
the test's. A process is started with the image's ENV and nothing else of this machine's environment, by the image's
user if we are root, in the image's working directory, with code that it cannot write.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared import processes
from tests.deploy.dockerfile import ROOT, read

#: What building an image is given of this machine: how packages are reached.
_NETWORK = re.compile(r"PIP_\w+|\w+_proxy|\w+_PROXY|SSL_CERT_\w+|HOME|PATH|LANG")


class Image:
    """`build()` it once; then `start(command)`, or `run(command)` to its end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.prefix, self._source = directory / "opt", directory / "src"
        self.state, self._tmp = directory / "state", directory / "tmp"
        self._install, self._final = read()
        self._python = reachable_python(directory)
        for one in (self._source, self.state, self._tmp):
            one.mkdir()
        self.user = int(self._final.last("USER").partition(":")[0])

    def build(self) -> None:
        """Run the install stage, step by step."""
        for instruction, rest in self._install.steps:
            if instruction == "COPY":
                self._copy(rest)
            elif instruction == "RUN":
                self._run(rest)
        if os.geteuid() == 0:
            for one in (self.state, self._tmp):
                os.chown(one, self.user, self.user)

    def _copy(self, rest: str) -> None:
        *sources, target = rest.split()
        for source in sources:
            assert is_in_context(source), f"{source} is not in the build's context"
            place = self._source / target / (Path(source).name if target.endswith("/") or target == "." else "")
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(
                    ROOT / source, self._source / target, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
                )
            else:
                shutil.copy(ROOT / source, place)

    def _run(self, rest: str) -> None:
        words = rest.replace("/opt/fusionai", str(self.prefix))
        words = re.sub(r"(?<![\w/.-])python(?= -m venv)", str(self._python), words)
        words = re.sub(r"(?<![\w/.-])python(?= -m)", sys.executable, words)
        environment = {name: value for name, value in os.environ.items() if _NETWORK.fullmatch(name)}
        done = subprocess.run(["sh", "-ec", words], cwd=self._source, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"RUN {rest}\n{done.stdout}{done.stderr}"

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """What a container's process has: the image's ENV, and what is given."""
        own = self._final.environment()
        path = own["PATH"].replace("/opt/fusionai", str(self.prefix)).replace("$PATH", "/usr/bin:/bin")
        place = {"PATH": path, "HOME": str(self._tmp), "TMPDIR": str(self._tmp)}
        if (copy := self._directory / "python").is_dir():  # whose own library is where only we can read it
            place["LD_LIBRARY_PATH"] = str(copy / "lib")
        return {**own, **place, **given}

    def start(self, command: Sequence[str], given: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
        """A process of the image's: both its streams go to `log`."""
        environment = self.environment(given)
        argv = [shutil.which(command[0], path=environment["PATH"]) or command[0], *command[1:]]
        parent = os.getpid()
        other = {"user": self.user, "group": self.user, "extra_groups": []} if os.geteuid() == 0 else {}
        with log.open("ab") as output:
            return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
                argv,
                cwd=self.state,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                umask=0o022,
                start_new_session=True,
                preexec_fn=lambda: processes.follow(parent),
                **other,
            )

    def run(self, command: Sequence[str], given: Mapping[str, str], log: Path, *, seconds: float = 120) -> int:
        """The exit status of a process of the image's."""
        process = self.start(command, given, log)
        try:
            return process.wait(seconds)
        finally:
            processes.kill(process)

    def files(self) -> dict[str, int]:
        """Every file of the installed code, with the time of its last change."""
        return {str(path): path.stat().st_mtime_ns for path in self.prefix.rglob("*") if path.is_file()}


def reachable_python(directory: Path) -> Path:
    """A Python without packages that the image's user can run: this one's, or a copy where its place is private."""
    base = Path(sys.base_prefix)
    name = f"bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if all(parent.stat().st_mode & 0o001 for parent in [base, *base.parents]):
        return base / name
    copy = directory / "python"
    left_out = shutil.ignore_patterns("__pycache__", "test", "site-packages", "idlelib", "tkinter", "*.a")
    shutil.copytree(base, copy, symlinks=True, ignore=left_out)
    return copy / name


def is_in_context(source: str) -> bool:
    """Whether the .dockerignore lets the build have it."""
    lines = (ROOT / "deploy" / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    return f"!{source}" in lines
