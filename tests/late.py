"""Collects a test file when its turn has come: with `-p tests.late`, a file is one item to whoever deals out the work.

Every worker of pytest-xdist collects the whole suite, which costs it 20 s of a core before its first test; with this,
each imports the files that it runs. Files are dealt out whole, so no two workers run tests of one. It takes files,
directories and choices by `-m`; where tests are chosen by name or by `-k`, use plain collecting.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest


class Late(pytest.File):
    """A test file that nothing has been read of."""

    def collect(self) -> Iterator[pytest.Item]:
        """Its turn, and nothing else."""
        yield Turn.from_parent(self, name="turn")


class Turn(pytest.Item):
    """Stands in the worker's list for the tests of its file; to run it is to collect and run them."""

    def runtest(self) -> None:
        """Is never called: `pytest_runtest_protocol` runs the file's tests instead."""
        raise NotImplementedError

    def tests(self) -> list[pytest.Item]:
        """The file's tests, but for those that were not asked for."""
        assert self.parent is not None
        assert self.parent.parent is not None
        module = pytest.Module.from_parent(self.parent.parent, path=self.path)
        found = list(self.session.genitems(module))
        self.config.hook.pytest_collection_modifyitems(session=self.session, config=self.config, items=found)
        return found


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what a late file cannot do."""
    if config.option.keyword or any("::" in argument for argument in config.args):
        raise pytest.UsageError("tests.late collects whole files: without it, choose tests by name")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Late:
    """Leave the file unread for now."""
    return Late.from_parent(parent, path=module_path)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Collect the file whose turn it is, and run its tests; each takes the turn's place in the list while it runs."""
    if not isinstance(item, Turn):
        return None
    tests, place = item.tests(), item.session.items.index(item)
    if not tests:  # whatever the test before left open for this file, the next one may be in another package
        item.session._setupstate.teardown_exact(nextitem)
    for at, test in enumerate(tests, start=1):
        item.session.items[place] = test
        following = tests[at] if at < len(tests) else nextitem
        item.config.hook.pytest_runtest_protocol(item=test, nextitem=following)
        if item.session.shouldfail or item.session.shouldstop:
            break
    item.session.items[place] = item
    return True
