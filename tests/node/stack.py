"""A small stack for programs in Node: its address and the keys of its accounts in their environment."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shared.environment import inherited
from tests.acceptance.stack import Stack
from tests.servers import RedisServer
from workers.simulator.server import SimulatorProcess


class BrokenPromiseError(Exception):
    """What was left behind violates a promise."""


@contextmanager
def running() -> Iterator[Mapping[str, str]]:
    """The environment of programs that call it; BrokenPromiseError at its end if the ledger, or else, is not right."""
    redis = RedisServer().start()
    try:
        with tempfile.TemporaryDirectory() as directory, SimulatorProcess() as simulator:
            stack = Stack(Path(directory), redis, simulator)
            try:
                stack.start()
                yield _environment(stack)
                if violations := stack.violations():
                    raise BrokenPromiseError("\n".join(map(str, violations)))
            finally:
                stack.stop()
    finally:
        redis.stop()


def _environment(stack: Stack) -> dict[str, str]:
    rich, poor = stack.account(), stack.account(0)
    for account in (rich, poor):
        account.close()
    return {
        **inherited(),
        "FUSIONAI_BASE_URL": stack.url + "/v1",
        "FUSIONAI_API_KEY": rich.live_key,
        "FUSIONAI_TEST_URL": stack.url + "/v1",
        "FUSIONAI_TEST_SIMULATOR": stack.simulator,
        "FUSIONAI_TEST_LIVE_KEY": rich.live_key,
        "FUSIONAI_TEST_SANDBOX_KEY": rich.test_key,
        "FUSIONAI_TEST_POOR_KEY": poor.live_key,
    }
