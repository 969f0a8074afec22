"""Fixtures that every room of the suite shares. `database` runs a test twice: on SQLite and on PostgreSQL."""

import gc
import os
import pkgutil
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

#: A session keeps hundreds of thousands of objects: to look for garbage among them as often as Python would is a
#: twentieth of its work. What is left open by garbage is found all the same, at the end of the session at the latest.
gc.set_threshold(20_000, 20, 10)

from shared import clock  # noqa: E402
from shared.db import Database  # noqa: E402

#: An assertion that fails in a module beside the tests shows its values, as one in a test does.
_BESIDE = [f"tests.{module.name}" for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
pytest.register_assert_rewrite(*(name for name in _BESIDE if name != __name__))

from tests.authorities import read_once  # noqa: E402
from tests.compiling import compile_once  # noqa: E402
from tests.servers import PostgresServer, RedisServer, migrated_sqlite  # noqa: E402
from tests.starting import fork_simulators  # noqa: E402

read_once()
compile_once()
fork_simulators()

#: How long an example takes says nothing on a machine that has other things to do.
hypothesis_settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("any machine")

#: Where files are memory. What is kept there need not wait for a disk, which for databases is half of what they do.
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 3 * 1024**3
if "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES:
    os.environ["TMPDIR"] = str(_MEMORY)
    tempfile.tempdir = None

#: What takes longest, longest first: begun first, so that no worker is left with it at the end. Then the others,
#: directory by directory, the smallest tests last.
LONGEST = (
    "tests/chaos/test_crash_points.py",
    "tests/chaos/test_kills.py",
    "tests/acceptance/test_time_limits.py",
    "tests/integration/test_stack.py",
    "tests/integration/test_lease_model.py",
    "tests/acceptance/test_batch_providers.py",
    "tests/acceptance/test_hostile_mutated.py",
    "tests/acceptance/test_rolling.py",
    "tests/acceptance/test_provider_outages.py",
    "tests/acceptance/test_redis_trouble.py",
    "tests/integration/test_ledger_model.py",
)
_DIRECTORIES = ("chaos", "acceptance", "integration", "providers", "unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files as above; the tests of a file stay as they are."""
    items.sort(key=lambda item: _turn(item.nodeid.partition("::")[0]))


def _turn(file: str) -> tuple[int, int]:
    directory = file.split("/")[1]
    at = _DIRECTORIES.index(directory) if directory in _DIRECTORIES else len(_DIRECTORIES)
    return (LONGEST.index(file) if file in LONGEST else len(LONGEST)), at


@pytest.hookimpl(tryfirst=True)
def pytest_make_collect_report(collector: pytest.Collector) -> None:
    """Load what one file alone needs, when it is read."""
    if collector.path.name == "test_schemathesis.py":
        collector.config.pluginmanager.import_plugin("schemathesis.pytest.plugin")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the session."""
    server = PostgresServer(vacuums=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis server for the session; a test that breaks it starts its own."""
    server = RedisServer().start()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database of each kind, with nothing in it."""
    if request.param == "postgresql":
        with request.getfixturevalue("postgres").lent() as url:
            yield url
    else:
        yield migrated_sqlite(tmp_path / "test.sqlite3")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, opened."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def ids_of_now() -> Iterator[None]:
    """A test that lets time pass takes it back, and leaves the next one no ids that are ahead of the clock."""
    yield
    left = clock.shift_micros()
    clock.shift(-left)
    clock.renew_ids()
    assert not left, f"a test has moved the time by {left / clock.MICROS:g} s and not taken it back"
