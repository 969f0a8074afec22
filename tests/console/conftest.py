"""A browser for each worker, watched contexts, signed-in customers; collected by `make test-console` alone."""

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.console.world import VARIABLE, World

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.acceptance.stack import Account
    from tests.console.visitor import Visitor

# Without the running stack, as in `make test`, there is nothing to collect (nor Playwright, which its lock alone has).
collect_ignore_glob = [] if VARIABLE in os.environ else ["test_*.py"]


@pytest.fixture(scope="session")
def world() -> World:
    """The running stack."""
    return World.load()


@pytest.fixture(scope="session")
def browser(world: World) -> Iterator["Browser"]:
    """Chromium, for all tests of this process."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=world.chromium)
        yield started
        started.close()


@pytest.fixture
def account(world: World) -> Iterator["Account"]:
    """A customer of the test's own, with 10,000 credits."""
    made = world.account()
    yield made
    made.close()


@pytest.fixture
def visit(world: World, browser: "Browser", request: pytest.FixtureRequest) -> Iterator[Callable[..., "Visitor"]]:
    """Makes visitors: `visit(key)` is signed in with a key, `visit()` with none; all pages are watched to the end.

    What else it takes is Playwright's, for the context; `at` is another address of the stack than its own.
    """
    from tests.console.visitor import Visitor

    made: list[Visitor] = []

    def make(key: str = "", *, at: str = "", operator: bool = False, looking_at: str = "", **options: Any) -> Visitor:
        visitor = Visitor(world, browser, at or world.url, **options)
        made.append(visitor)
        if key or operator:
            visitor.sign_in(key, operator=operator, looking_at=looking_at)
        return visitor

    yield make
    for visitor in made:
        visitor.close()
    faults = [fault for visitor in made for fault in visitor.watch.unexpected()]
    assert faults == [], faults
