"""The Redis of `fusionai up`: nobody without a password, and nobody at all who loads code, writes files or stops it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from producer.stack import embedded_redis, probes
from producer.stack.layout import RedisAddress
from producer.stack.state import StateDirectory
from shared.broker.app import make_app
from shared.settings import settings
from tests.conditions import await_condition
from tests.servers import free_port

#: Each makes a server run code, write where it is told, follow another one, or end.
DANGEROUS = (
    "CONFIG SET dir /tmp",
    "CONFIG SET dbfilename crontab",
    "MODULE LOAD /nowhere.so",
    "DEBUG SEGFAULT",
    "REPLICAOF 127.0.0.1 1",
    "SLAVEOF 127.0.0.1 1",
    "SAVE",
    "BGSAVE",
    "BGREWRITEAOF",
    "SHUTDOWN NOSAVE",
    "ACL SETUSER other on nopass ~* +@all",
    "MIGRATE 127.0.0.1 1 key 0 100",
    "SYNC",
)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisAddress]:
    """A running one, in a directory whose name has all that a configuration file reads as its own."""
    state = StateDirectory(tmp_path_factory.mktemp("redis") / 'a "strange" \\ näme # $HOME')
    state.create()
    secrets = state.secrets()
    address = RedisAddress(free_port(), secrets["redis_password"], secrets["redis_operator_password"])
    program = embedded_redis.program(address, state, {})
    assert (state.path / "redis.conf").stat().st_mode & 0o777 == 0o600
    for password in (address.password, address.operator_password):
        assert not any(password in word for word in program.argv)
        assert password not in (state.path / "redis.conf").read_text()
    with subprocess.Popen(program.argv, env=program.env) as server:
        try:
            await_condition(lambda: probes.redis_answers(address.port, address.password), what="Redis")
            assert (state.path / "logs" / "redis.log").exists()
            yield address
        finally:
            server.kill()


def refused(url: str, command: str) -> bool:
    with redis.from_url(url) as client:
        try:
            client.execute_command(*command.split())
        except (redis.ResponseError, redis.AuthenticationError):
            return True
    return False


@pytest.mark.parametrize("command", [*DANGEROUS, "PING", "GET a", "PUBLISH a b", "INFO"])
def test_nothing_is_done_without_a_password(at: RedisAddress, command: str) -> None:
    assert refused(f"redis://127.0.0.1:{at.port}/0", command)
    assert refused(f"redis://:{at.operator_password}@127.0.0.1:{at.port}/0", command), "the other user's password"


@pytest.mark.parametrize("command", DANGEROUS)
def test_neither_user_gets_a_file_code_or_an_end_from_it(at: RedisAddress, command: str) -> None:
    assert refused(at.url, command) and refused(at.operator_url, command)


@pytest.mark.parametrize("command", ["CONFIG SET maxmemory 0", "CLIENT PAUSE 1", "FLUSHALL", "MONITOR", "KEYS *"])
def test_the_processes_may_not_govern_it(at: RedisAddress, command: str) -> None:
    assert refused(at.url, command)


def test_the_operator_may_look_pause_limit_and_wipe(at: RedisAddress) -> None:
    with redis.from_url(at.operator_url) as client:
        client.config_set("maxmemory", "0")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}
        client.client_pause(1)
        client.client_kill_filter(_type="pubsub")
        client.flushall()
        assert client.ping()


def test_a_probe_tells_ours_from_another(at: RedisAddress) -> None:
    assert probes.redis_answers(at.port, at.password)
    assert not probes.redis_answers(at.port, "another")


def test_celery_shows_no_password(at: RedisAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "broker_url", at.url)
    app = make_app()
    assert at.password not in json.dumps(app.conf.table(with_defaults=True), default=str)
    with app.connection() as connection:
        assert at.password not in connection.as_uri() and at.password not in repr(connection)


def test_an_earlier_versions_directory_gets_the_new_secrets_and_keeps_its_own(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.create()
    state.write("secrets.json", {"key_secret": "k" * 43, "flower_password": "f" * 16})
    secrets = state.secrets()
    assert secrets["key_secret"] == "k" * 43 and secrets["flower_password"] == "f" * 16
    assert len(secrets["redis_password"]) > 30 and secrets["redis_password"] != secrets["redis_operator_password"]
    assert state.secrets() == secrets, "and they stay"
