"""Runs what a document shows as it shows it: its curl by curl, its Python by Python, each in a process of its own."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.acceptance.stack import Stack

#: How long a documented request may take, in seconds.
LIMIT = 40


class Answer(NamedTuple):
    """What curl got."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[str]:
        """The data of each event of a stream."""
        return [line.removeprefix("data: ") for line in self.text.splitlines() if line.startswith("data: ")]


def replaced(example: str, places: Mapping[str, str]) -> str:
    """The example with a base URL and a key (`places`: what stands there, and what comes there) of this system."""
    for place, value in places.items():
        assert place in example, place
        example = example.replace(place, value)
    return example


def check_like(answer: Any, shown: Any, where: str = "answer") -> None:
    """An answer has all that a document's has: every name, and a value of the same kind (it may have more)."""
    if isinstance(shown, dict):
        assert isinstance(answer, dict) and shown.keys() <= answer.keys(), f"{where}: {shown.keys() - answer.keys()}"
        for name, value in shown.items():
            check_like(answer[name], value, f"{where}.{name}")
    elif isinstance(shown, list):
        assert isinstance(answer, list) and bool(answer) == bool(shown), where
        for number, value in enumerate(answer):
            check_like(value, shown[0], f"{where}[{number}]")
    else:
        assert _kind(answer) == _kind(shown), f"{where}: {answer!r}"


def _kind(value: Any) -> type:
    """The type of a JSON value; numbers are of one."""
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def by_curl(command: str, *options: str, **environment: str) -> Answer:
    """Run a curl command of a document in a shell, where its variables are set, with further options."""
    assert shutil.which("curl"), "documents show curl commands"
    more = shlex.join(["-sS", "--noproxy", "*", "-w", "%{stderr}%{http_code}", *options])
    ran = _run(["sh", "-c", f"{command.strip()} {more}"], environment)
    return Answer(int(ran.stderr), ran.stdout)


def to(stack: Stack) -> list[str]:
    """curl's option by which every host's name leads to a stack; what it asks of a host goes out as it stands."""
    return ["--connect-to", f"::127.0.0.1:{stack.port}"]


def by_python(program: str, *, directory: Path | None = None, **environment: str) -> str:
    """Run a Python program of a document in a directory, where its variables are set; what it prints."""
    return _run([sys.executable, "-c", program], environment, directory).stdout


def _run(
    command: list[str], environment: Mapping[str, str], directory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "NO_PROXY": "*", **environment}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=given, cwd=directory, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran
