"""Starts a small stack and runs on it, with an account's keys in the environment, `node --test` and the SDK's checks.

`python -m tests.node`; the exit code is 1 when any of it fails, or what was left behind violates a promise.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.node import sdk
from tests.node.stack import running

HERE = Path(__file__).parent


def main() -> int:
    """The exit code."""
    with tempfile.TemporaryDirectory() as folder:
        user = sdk.installed(Path(folder))
        with running() as environment:
            code = subprocess.run(["node", "--test", "all.test.js"], cwd=HERE, env=environment, check=False).returncode
            failed = sdk.run(user, environment)
    return int(bool(code or failed))


if __name__ == "__main__":
    sys.exit(main())
