"""The SDK for JavaScript as its users get it: packed, installed in a clean folder, type-checked there, and run.

`python -m tests.node.sdk`; the exit code is 1 when anything of it fails.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.node import document
from tests.node.document import JS, ROOT
from tests.node.stack import running
from tests.sdk.harness import failures

TESTS = ("server.mjs", "sdk.test.mjs", "batch.test.mjs", "stack.test.mjs", "runner.mjs")
#: A user's program, and how its two module systems are named.
PROGRAMS = ("user.mts", "user.cts")
_CHECK = "--module nodenext --target es2022 --strict --exactOptionalPropertyTypes --noUncheckedIndexedAccess".split()
_INSTALL = "npm install --silent --ignore-scripts --prefer-offline --no-audit --no-fund".split()
#: Programs of documents that are run as they are written: where they are, after which heading.
_QUICK_STARTS = {"quick_start.mjs": (JS, "## Quick start"), "first_call.mjs": (ROOT, "### JavaScript and TypeScript")}

Environment = Mapping[str, str]


def main() -> int:
    """The exit code."""
    with tempfile.TemporaryDirectory() as folder:
        user = installed(Path(folder))
        with running() as environment:
            return run(user, environment)


def installed(folder: Path) -> Path:
    """A user's folder with nothing in it but the packed package, what that needs, and our programs."""
    user = folder / "user"
    user.mkdir()
    _do(["npm", "pack", "--silent", "--pack-destination", str(folder)], JS)
    (tarball,) = folder.glob("*.tgz")
    (user / "package.json").write_text(json.dumps({"private": True}))
    _do([*_INSTALL, str(tarball)], user)
    for name in TESTS:
        shutil.copy(JS / "test" / name, user)
    for name in PROGRAMS:
        shutil.copy(JS / "test" / "user.ts", user / name)
    for name, program in quick_starts().items():
        (user / name).write_text(program)
    return user


def quick_starts() -> dict[str, str]:
    """The programs of the READMEs, as they are written there."""
    return {name: _program((place / "README.md").read_text(), after) for name, (place, after) in _QUICK_STARTS.items()}


def _program(text: str, heading: str) -> str:
    found = re.search(rf"^{heading}\n.*?^```js\n(.*?)^```", text, re.M | re.S)
    assert found is not None
    return found[1]


def run(user: Path, environment: Environment) -> int:
    """Everything; the number of what failed."""
    steps: Sequence[Callable[[Path, Environment], bool]] = (_types, _programs, _quick_start, _tests, _table)
    failed = [step.__name__.strip("_") for step in steps if not step(user, environment)]
    print(f"the SDK for JavaScript: {', '.join(failed) + ' failed' if failed else 'all of it passes'}")
    return len(failed)


def _types(user: Path, environment: Environment) -> bool:
    """The types are those of the document, and a user's program fits them in both module systems."""
    part = user / "document.json"
    part.write_text(json.dumps(document.part()))
    current = subprocess.run(["npm", "run", "--silent", "types", "--", "--check", str(part)], cwd=JS, check=False)
    if current.returncode:
        print("producer/client/js/src/api.ts is not what the document says: `make sdk-types` writes it anew")
    checked = _node([str(JS / "node_modules/typescript/bin/tsc"), *_CHECK, *PROGRAMS], user, environment)
    return not current.returncode and checked


def _programs(user: Path, environment: Environment) -> bool:
    """What tsc has made of the program runs as an ES module and as CommonJS, and says the same."""
    said = []
    for name in PROGRAMS:
        program = ["node", name.replace("ts", "js")]
        ran = subprocess.run(program, cwd=user, env=environment, stdout=subprocess.PIPE, check=False)
        print(ran.stdout.decode(), end="")
        said.append(b"" if ran.returncode else ran.stdout)
    return said[0] == said[1] != b""


def _quick_start(user: Path, environment: Environment) -> bool:
    return all([_node([name], user, environment) for name in _QUICK_STARTS])


def _tests(user: Path, environment: Environment) -> bool:
    return _node(["--test", "--test-reporter=spec", *(name for name in TESTS if ".test." in name)], user, environment)


def _table(user: Path, environment: Environment) -> bool:
    """The table of behaviours that the SDKs of all languages pass."""
    found = failures(["node", "runner.mjs"], directory=user)
    for name, wrong in found.items():
        print(name, *wrong, sep="\n    ")
    return not found


def _node(command: Sequence[str], user: Path, environment: Environment) -> bool:
    return subprocess.run(["node", *command], cwd=user, env=environment, check=False).returncode == 0


def _do(command: Sequence[str], directory: Path) -> None:
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
