"""A password or a certificate that is wrong: each process says so in a sentence, and never which password it was."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from shared import processes
from shared.settings import settings
from tests import starting
from tests.chaos.processes import MODULES
from tests.cluster.certificates import Authority
from tests.cluster.cluster import Cluster
from tests.conditions import await_condition
from tests.servers import free_port

pytestmark = pytest.mark.timeout(600)

#: What stands in the place of a password, and in no log.
WRONG = "wrong-s3cret"
#: Lines of the log of a process that cannot do anything, in the time that it took all of them to say why.
MOST_LINES = 25

REFUSED = "it refuses the user name or the password"
UNTRUSTED = "its certificate is not trusted: …FUSIONAI_CA_FILE names other authorities"


class Started:
    """The processes of one case, and what they have said."""

    def __init__(self, servers: Cluster, directory: Path, given: Mapping[str, str]) -> None:
        self._directory = directory
        self._env = {
            "FUSIONAI_ENVIRONMENT": "production",
            "FUSIONAI_STATE_DIRECTORY": str(directory),
            "FUSIONAI_DATABASE_URL": str(servers.postgres.migrated()),
            "FUSIONAI_FILES_URL": f"file://{directory}/files",
            "FUSIONAI_KEY_SECRET": settings().key_secret * 3,
            "PYTHONUNBUFFERED": "1",
            **servers.environment(),
            **given,
        }
        self._running: list[starting.Process] = []

    def start(self, names: Sequence[str] = tuple(MODULES)) -> None:
        for name in names:
            env = self._env | {"FUSIONAI_PORT": str(free_port())}
            with (self._directory / name).open("ab") as output:
                self._running.append(starting.start(MODULES[name], env, output, cwd=self._directory))

    def log(self, name: str) -> str:
        return (self._directory / name).read_text()

    def await_words(self, words: Mapping[str, Sequence[str]]) -> None:
        """Until each process has said all of its words, a line each; then that it said little else, and no secret."""

        def said() -> bool:
            return all(_in_a_line(self.log(name), one) for name, all_of_it in words.items() for one in all_of_it)

        try:
            await_condition(said, what="what each process says", pause_seconds=0.1)
        except AssertionError as error:
            raise AssertionError("\n".join([f"{error}", *(f"-- {name}\n{self.log(name)}" for name in words)])) from None
        for name in words:
            log = self.log(name)
            assert WRONG not in log, f"{name} has told the secret"
            assert 'File "' not in log and "Traceback" not in log, f"{name}: {log}"
            assert len(log.splitlines()) <= MOST_LINES, f"{name}: {log}"

    def stop(self) -> None:
        for process in self._running:
            processes.kill(process)
            process.wait()


def _in_a_line(log: str, words: str) -> bool:
    """Whether one line has all the parts of some words, which `…` separates."""
    return any(all(part in line for part in words.split("…")) for line in log.splitlines())


@contextmanager
def started(servers: Cluster, directory: Path, **given: str) -> Iterator[Started]:
    made = Started(servers, directory, given)
    try:
        yield made
    finally:
        made.stop()


def places(servers: Cluster) -> tuple[str, str]:
    """Where the broker and Redis are, as a log names them: one node of the broker, since their order is any."""
    return f"127.0.0.1:{servers.rabbit.nodes[0].tls_port}", f"127.0.0.1:{servers.redis.port}"


def test_wrong_passwords_of_redis_and_rabbitmq(servers: Cluster, tmp_path: Path) -> None:
    broker, redis = places(servers)
    wrong = {
        "FUSIONAI_REDIS_URL": servers.redis.url_with(WRONG),
        "FUSIONAI_BROKER_URL": servers.rabbit.url(password=WRONG),
    }
    with started(servers, tmp_path, **wrong) as case:
        case.start()
        case.await_words(words(broker, redis, REFUSED))


def test_certificates_by_an_authority_that_is_not_trusted(servers: Cluster, tmp_path: Path) -> None:
    broker, redis = places(servers)
    other = Authority(tmp_path, "another")
    with started(servers, tmp_path, FUSIONAI_CA_FILE=str(other.ca)) as case:
        case.start()
        case.await_words(words(broker, redis, UNTRUSTED))


def test_a_wrong_password_of_the_database(servers: Cluster, tmp_path: Path) -> None:
    refused = 'the database cannot be connected to…password authentication failed for user "locked"'
    with started(servers, tmp_path, FUSIONAI_DATABASE_URL=locked(servers)) as case:
        case.start()
        case.await_words(dict.fromkeys(MODULES, (refused,)))


def locked(servers: Cluster) -> str:
    """The URL of a database for a user who needs a password, with a wrong one."""
    url, configuration = make_url(servers.postgres.migrated()), Path(str(servers.postgres.directory)) / "pg_hba.conf"
    rules = configuration.read_text()
    if "locked" not in rules:
        configuration.write_text(f"local all locked scram-sha-256\n{rules}")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE ROLE locked LOGIN PASSWORD 'right'"))
            connection.execute(text("SELECT pg_reload_conf()"))
        engine.dispose()
    return url.set(username="locked", password=WRONG).render_as_string(hide_password=False)


def words(broker: str, redis: str, why: str) -> Mapping[str, Sequence[str]]:
    """What each process says of the broker and of Redis, where it uses them."""
    of_broker, of_redis = f"the broker at…{broker}…{why}", f"Redis at {redis}…{why}"
    return {
        "web": (of_broker, of_redis),
        "worker": (of_broker, of_redis),
        "batches": (of_broker, of_redis),
        "sweeper": (of_broker,),
    }
