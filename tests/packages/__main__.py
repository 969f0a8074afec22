"""`python -m tests.packages`, which is `make test-packages`: the wheel, built, and installed as by a user.

It is installed into an environment of its own, with what it needs at the versions of the lock, nothing of the server.
There the command says what it can, the quick start of the README runs as it is written against a running system, and a
user's program has types. The exit code is 1 when anything is wrong, or what was left behind violates a promise.
"""

import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

from deploy import packages
from shared.environment import inherited
from tests.acceptance.stack import Stack, own_stack

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "program.py.txt"
#: Of the server alone; none of them comes with the client.
SERVER = ("alembic", "celery", "fastapi", "flower", "psycopg", "redis", "sqlalchemy", "starlette", "stripe", "uvicorn")
#: Of other languages, and what only the repository has.
_APART = ("producer/client/go/", "producer/client/js/")
_QUICK_START = re.compile(r"^### The Python SDK\n.*?^```python\n(.*?)^```\n\n((?:    [^\n]*\n)+)", re.M | re.S)
#: An answer that commands which need the server give.
NEEDS = "this command needs the packages of the server: pip install 'fusionai[server]'"


def main() -> int:
    """The exit code."""
    wheel, sdist = packages.build()
    wrong = [*_missing(wheel), *_differing(wheel, sdist)]
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        environment = Environment(home / "venv")
        environment.install(wheel)
        wrong += [*environment.heavy(), *_commands(environment, home), *_types(environment, home)]
        if not wrong:
            with own_stack(home) as stack:
                wrong += [*_quick_start(environment, stack, home), *stack.violations()]
    for one in wrong:
        print(one, file=sys.stderr)
    return 1 if wrong else 0


class Environment:
    """A virtual environment with the wheel in it, and nothing of this checkout."""

    def __init__(self, path: Path) -> None:
        venv.create(path, with_pip=True)
        self.path, self.python = path, path / "bin" / "python"

    def install(self, wheel: Path) -> None:
        """As `pip install fusionai` would; at the versions of the lock, so that tomorrow's releases change nothing."""
        lock = (ROOT / "deploy/requirements/runtime.txt").read_text()
        pins = self.path / "constraints.txt"
        pins.write_text("\n".join(re.findall(r"^[a-z0-9].*==.*(?= \\$)", lock, re.M)))
        pip = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        self.run(*pip, "--constraint", pins, wheel)

    def run(self, *command: object, wanted: int = 0, **variables: str) -> str:
        """What a command prints, in both streams; it must end with `wanted`."""
        clean = {name: value for name, value in inherited().items() if not name.startswith(("FUSIONAI_", "PYTHON"))}
        ran = subprocess.run(
            [str(part) for part in command],
            cwd=self.path.parent,
            env={**clean, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        if ran.returncode != wanted:
            sys.exit(f"{command} ended with {ran.returncode}, not {wanted}:\n{ran.stdout}")
        return ran.stdout

    def heavy(self) -> Iterator[str]:
        """Packages of the server that are there all the same, and requirements that are not met."""
        listed = self.run(self.python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check").lower()
        names = {line.partition("==")[0] for line in listed.splitlines()}
        yield from (f"pip install fusionai brings {name}" for name in SERVER if name in names)
        self.run(self.python, "-m", "pip", "check", "--disable-pip-version-check")
        print(f"ok  the wheel is installed, with {len(names) - 3} packages")


def _missing(wheel: Path) -> Iterator[str]:
    """Files of the packages that are not in the wheel."""
    listed = subprocess.run(
        ["git", "ls-files", "producer", "shared", "workers"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in listed:
        if not name.startswith(_APART) and name.removeprefix("producer/client/python/") not in names:
            yield f"{wheel.name} lacks {name}"


def _differing(*built: Path) -> Iterator[str]:
    """Those that are not the same bytes when somebody else builds them, at another time."""
    before = os.umask(0o077)
    try:
        with tempfile.TemporaryDirectory() as directory:
            for again, first in zip(packages.build(Path(directory)), built, strict=True):
                if again.read_bytes() != first.read_bytes():
                    yield f"{first.name} is not the same when it is built again"
    finally:
        os.umask(before)
    print("ok  the same bytes when they are built again")


def _commands(environment: Environment, home: Path) -> Iterator[str]:
    """What the command says without the server."""
    command = environment.path / "bin" / "fusionai"
    shown = environment.run(command, "--help")
    if "submit" not in shown or "Needs the server" not in shown:
        yield f"fusionai --help prints {shown}"
    for arguments in (["up"], ["accounts", "list"], ["credits", "grant", "5"], ["queues"], ["migrate"]):
        said = environment.run(command, *arguments, wanted=1)
        if NEEDS not in said or "Traceback" in said:
            yield f"fusionai {' '.join(arguments)} prints {said}"
    print("ok  the command, without the server")


def _types(environment: Environment, home: Path) -> Iterator[str]:
    """What mypy says of a user's program, by line, beside what is wrong in it on purpose."""
    program = home / "program.py"
    program.write_text(PROGRAM.read_text())
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", environment.python, "--no-error-summary"]
    said = environment.run(*mypy, "--cache-dir", home / "mypy", program, wanted=1).splitlines()
    expected = [line.partition("# EXPECTED: ")[2] for line in PROGRAM.read_text().splitlines() if "# EXPECTED" in line]
    errors = [line for line in said if ": error: " in line]
    if len(errors) != len(expected) or not all(part in line for part, line in zip(expected, errors, strict=True)):
        yield "mypy --strict of a user's program says:\n" + "\n".join(said)
    print("ok  the types of a user's program")


def _quick_start(environment: Environment, stack: Stack, home: Path) -> Iterator[str]:
    """The README's, as it is written."""
    found = _QUICK_START.search((ROOT / "README.md").read_text())
    assert found, "the README has no quick start of the Python SDK"
    account = stack.account()
    account.close()
    program = home / "quick_start.py"
    program.write_text(found[1])
    wanted = re.sub(r"^    ", "", found[2], flags=re.M)
    at = {"FUSIONAI_BASE_URL": f"{stack.url}/v1", "FUSIONAI_API_KEY": account.live_key}
    printed = environment.run(environment.python, program, **at)
    if printed != wanted:
        yield f"the quick start printed\n{printed}and not\n{wanted}"
    balance = environment.run(environment.path / "bin" / "fusionai", "credits", **at)
    if "available" not in balance:
        yield f"fusionai credits prints {balance}"
    print("ok  the quick start")


if __name__ == "__main__":
    sys.exit(main())
