"""`python -m tests.sdk.go`, which is `make test-go`: format, vet and tests of the Go client, then a running system.

The quick start of its README runs as it is written, in an empty directory, with the module as `go get` would have it
(`module.py`). The exit code is 1 when anything failed, or what was left behind violates a promise.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from shared.environment import inherited
from tests.acceptance.stack import Stack, own_stack
from tests.sdk.go import module
from tests.sdk.harness import failures

HERE = Path(__file__).parent
#: Nothing is fetched from anywhere: no modules, no other Go.
OFFLINE = {"GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOSUMDB": "off"}


def main() -> int:
    """The exit code."""
    try:
        for folder in (module.SOURCE, HERE):
            _check_format(folder)
            _go(folder, "vet", "./...")
        _go(module.SOURCE, "test", "./...")
        with tempfile.TemporaryDirectory() as directory:
            _check_behaviours(Path(directory) / "runner")
            with own_stack(Path(directory)) as stack:
                _check_stack(stack, Path(directory))
                return _tell(stack.violations())
    except subprocess.CalledProcessError as error:
        return _tell([str(error)])
    except _WrongError as error:
        return _tell(error.args)


class _WrongError(Exception):
    """Each argument is something that is wrong."""


def _tell(wrong: tuple[str, ...] | list[str]) -> int:
    for one in wrong:
        print(one, file=sys.stderr)
    return 1 if wrong else 0


def _go(folder: Path, *command: str, environment: Mapping[str, str] = {}) -> None:
    subprocess.run(["go", *command], cwd=folder, env={**inherited(), **OFFLINE, **environment}, check=True)


def _check_format(folder: Path) -> None:
    listed = subprocess.run(["gofmt", "-l", "."], cwd=folder, capture_output=True, text=True, check=True).stdout
    if listed:
        raise _WrongError(*(f"{folder.name}/{name} is not as gofmt writes it" for name in listed.split()))


def _check_behaviours(runner: Path) -> None:
    _go(HERE, "build", "-o", str(runner), ".")
    if wrong := failures([str(runner)]):
        raise _WrongError(*(f"{name}: {'; '.join(said)}" for name, said in wrong.items()))
    print("ok  \tthe table of behaviours")


def _check_stack(stack: Stack, directory: Path) -> None:
    rich, poor = stack.account(), stack.account(0)
    for account in (rich, poor):
        account.close()
    start = module.quick_start(directory / "start", url=stack.url + "/v1", key=rich.live_key)
    if start.wrong:
        raise _WrongError(*start.wrong)
    print("ok  \tthe quick start")
    environment = {
        "FUSIONAI_TEST_URL": stack.url + "/v1",
        "FUSIONAI_TEST_SIMULATOR": stack.simulator,
        "FUSIONAI_TEST_LIVE_KEY": rich.live_key,
        "FUSIONAI_TEST_SANDBOX_KEY": rich.test_key,
        "FUSIONAI_TEST_POOR_KEY": poor.live_key,
    }
    _go(HERE, "test", "-count=1", "./...", environment=environment)


if __name__ == "__main__":
    sys.exit(main())
