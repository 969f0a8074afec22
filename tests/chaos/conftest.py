"""Stacks for the chaos tests: one of a module's own for each database, or one for a single test."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Stack
from tests.servers import RedisServer, migrated_sqlite


class Stacks:
    """Makes stacks on request. `shared`: the module's, replaced by a new one after a test that failed with it.

    A module's `STACK` are the settings of its shared ones.
    """

    def __init__(self, directory: Callable[[], Path], postgres: Callable[[], Any], given: Mapping[str, str]) -> None:
        self._directory, self._postgres, self._given = directory, postgres, given
        self._open: dict[str, tuple[Stack, ExitStack]] = {}

    @contextmanager
    def own(self, kind: str = "sqlite", **options: Any) -> Iterator[Stack]:
        """A stack with a Redis and a database of its own, as long as the block."""
        directory = self._directory()
        sqlite = kind == "sqlite"
        url = migrated_sqlite(directory / "chaos.sqlite3") if sqlite else str(self._postgres().migrated())
        redis = RedisServer().start()
        try:
            with Stack(directory, url, redis, **options) as stack:
                yield stack
        finally:
            redis.stop()

    @contextmanager
    def shared(self, kind: str) -> Iterator[Stack]:
        """The module's stack on that database."""
        if kind not in self._open:
            closing = ExitStack()
            self._open[kind] = closing.enter_context(self.own(kind, **self._given)), closing
        try:
            yield self._open[kind][0]
        except BaseException:
            self._open.pop(kind)[1].close()
            raise

    def close(self) -> None:
        """Stop them all."""
        for _, closing in self._open.values():
            closing.close()


@pytest.fixture(scope="module")
def stacks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """The module's maker of stacks."""
    given = getattr(request.module, "STACK", {})
    made = Stacks(lambda: tmp_path_factory.mktemp("stack"), lambda: request.getfixturevalue("postgres"), given)
    yield made
    made.close()
