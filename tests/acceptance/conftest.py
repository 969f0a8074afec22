"""One stack for the package; an account for each test, and the promise that nothing is violated after it."""

from collections.abc import Iterator

import pytest

from tests.acceptance.stack import Account, Stack, own_stack
from tests.servers import RedisServer

#: Dialects under the names that their documents, or their vendors' clients, call; the rest of the tests use prefixes.
HOSTS = "fluence=api.fluence.ai, infuzu=chat.infuzu.com, euqai=api.euqai.eu"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Stack]:
    """The running stack, its console is on; it ends with the package, for it is at work even when nothing is asked."""
    given = {"DIALECT_HOSTS": HOSTS, "CONSOLE": "true"}
    with own_stack(tmp_path_factory.mktemp("stack"), redis_server, **given) as running:
        yield running


@pytest.fixture
def account(stack: Stack) -> Iterator[Account]:
    """A customer with 10,000 credits, at a stack whose providers are well."""
    stack.settle_providers()
    made = stack.account()
    yield made
    made.close()


@pytest.fixture
def other(stack: Stack) -> Iterator[Account]:
    """Another one."""
    made = stack.account()
    yield made
    made.close()
