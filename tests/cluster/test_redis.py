"""Redis over TLS is restarted and wiped under load: limits and streams begin anew, no job does."""

import pytest

from tests.cluster.callers import Callers
from tests.cluster.cluster import Cluster
from tests.cluster.test_nodes import at_rest
from tests.harness import Account, Stack, line

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def account(stack: Stack) -> Account:
    return stack.open_account()


def test_redis_is_restarted_and_wiped_under_load(servers: Cluster, stack: Stack, account: Account) -> None:
    with Callers(stack, account) as callers:
        callers.go_on(5)
        batch = stack.submit_batch(account, [line(f"redis {n}") for n in range(500)])
        servers.redis.kill()
        callers.go_on(5)
        servers.redis.start()
        callers.go_on()
        servers.redis.flush()
        callers.go_on()
    print(f"callers: {dict(callers.outcomes)}, the slowest acceptance {callers.slowest:.2f} s")
    stack.await_batch(batch, seconds=120)
    at_rest(stack)
