"""Starts a small stack, runs `node --test` against it with an account's keys in the environment, checks the ledger.

`python -m tests.node`; the exit code is node's, or 1 when what was left behind violates a promise.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from shared.environment import inherited
from tests.acceptance.stack import Stack
from tests.servers import RedisServer
from workers.simulator.server import SimulatorProcess

HERE = Path(__file__).parent


def main() -> int:
    """The exit code."""
    redis = RedisServer().start()
    try:
        with tempfile.TemporaryDirectory() as directory, SimulatorProcess() as simulator:
            stack = Stack(Path(directory), redis, simulator)
            try:
                stack.start()
                return _run(stack)
            finally:
                stack.stop()
    finally:
        redis.stop()


def _run(stack: Stack) -> int:
    rich, poor = stack.account(), stack.account(0)
    environment = {
        **inherited(),
        "FUSIONAI_TEST_URL": stack.url + "/v1",
        "FUSIONAI_TEST_SIMULATOR": stack.simulator,
        "FUSIONAI_TEST_LIVE_KEY": rich.live_key,
        "FUSIONAI_TEST_SANDBOX_KEY": rich.test_key,
        "FUSIONAI_TEST_POOR_KEY": poor.live_key,
    }
    for account in (rich, poor):
        account.close()
    code = subprocess.run(["node", "--test", "all.test.js"], cwd=HERE, env=environment).returncode
    violations = stack.violations()
    for violation in violations:
        print(violation)
    return code or bool(violations)


if __name__ == "__main__":
    sys.exit(main())
