"""Every secret of a running system changed under load, as deploy/cluster.md says: nothing is stopped, nothing refused.

Two web processes, a worker and a sweeper, restarted one after the other; PostgreSQL that asks for passwords, Redis with
a user of its own for the system, a provider that has two keys in force.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import redis
from psycopg.errors import DeadlockDetected
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from shared import accounts, clock, console_sessions, key_standing
from shared.settings import settings
from shared.verify import verify
from tests.chaos.keyed_provider import KeyedProvider
from tests.conditions import await_condition
from tests.everywhere import check_nowhere
from tests.harness import Stack, chat
from tests.servers import PostgresServer, RedisServer

OLD, NEW = "canary-of-the-old-secret" * 2, "canary-of-the-new-secret" * 2
PASSWORD, NEXT_PASSWORD = "canary-of-the-first-operator", "canary-of-the-second-operator"
#: Of the servers, by the order in which they are in force.
SERVERS = ("canary-of-servers-1", "canary-of-servers-2")
PROVIDER = ("sk-canary-provider-1", "sk-canary-provider-2")
PAGE = Path(__file__).parents[2] / "deploy" / "cluster.md"
CANARIES = (OLD, NEW, PASSWORD, NEXT_PASSWORD, *SERVERS, *PROVIDER)


class Callers:
    """They go on and on, each key in a thread of its own, through a balancer of two web processes; what was refused."""

    def __init__(self, stack: Stack, *, operators: bool = True) -> None:
        """`operators`: there is one who looks at queues, and others who are signed in to the console."""
        self._stack, self._operators = stack, operators
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.password, self.sessions = PASSWORD, list[str]()
        self.refused: list[str] = []
        self.done = 0

    def __enter__(self) -> Self:
        if self._operators:
            self._begin(self._as_operator)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def add(self, key: str) -> None:
        """One more customer."""
        self._begin(lambda number: self._as_customer(key, number))

    def go_on(self) -> None:
        """Until each has been answered a few times by now."""
        enough = self.done + 6 * len(self._threads)
        self._stack.until(lambda: self.done >= enough or self.refused, what="answers")
        assert not self.refused

    def _begin(self, call: Callable[[int], httpx.Response]) -> None:
        thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, call: Callable[[int], httpx.Response]) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            answer = call(number)
            elsewhere = answer.headers.get("location", "sign-in")
            if answer.status_code not in (200, 202) and "sign-in" in elsewhere:
                self.refused.append(
                    f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:300]}"
                )
            self.done += 1

    def _as_customer(self, key: str, number: int) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"}
        if number % 3 == 0:
            return self.ask(number, "POST", "/v1/jobs", headers, chat("later"))
        body = {name: value for name, value in chat("now").items() if name != "type"}
        return self.ask(number, "POST", "/v1/chat/completions", headers, body)

    def _as_operator(self, number: int) -> httpx.Response:
        if number % 2 and self.sessions:
            cookie = {"cookie": f"fusionai_session={self.sessions[number // 2 % len(self.sessions)]}"}
            return self.ask(number // 2, "GET", "/console", cookie)
        return self.ask(number, "GET", "/v1/operator/queues", {"authorization": f"Bearer {self.password}"})

    def ask(self, number: int, method: str, path: str, headers: Mapping[str, str], body: Any = None) -> httpx.Response:
        """As a balancer does: in turn, and of the other one when this one takes no connection."""
        for attempt in range(200):
            url = self._stack.url(("web", "web2")[(number + attempt) % 2])
            try:
                return httpx.request(method, url + path, headers=headers, json=body, timeout=60, trust_env=False)
            except httpx.ConnectError:
                self._over.wait(0.01)
        raise AssertionError("nobody takes a connection")


class Rotated:
    """The system, its servers, and the settings that its processes have now."""

    def __init__(self, opened: ExitStack, directory: Path, postgres: PostgresServer) -> None:
        self._url = postgres.migrated()
        self._admin = create_engine(self._url, isolation_level="AUTOCOMMIT")
        self._name = f"r{clock.new_id('r')[-12:]}"
        self.roles = (f"{self._name}_a", f"{self._name}_b")
        self._first_role(Path(str(make_url(self._url).query["host"])))
        server = RedisServer().start()
        opened.callback(server.stop)
        self._redis = opened.enter_context(redis.from_url(server.url))
        self.provider = opened.enter_context(KeyedProvider(PROVIDER[0]))
        self.learn(0)
        self.settings = {
            **{"KEY_SECRET": OLD, "OPERATOR_PASSWORD": PASSWORD, "CONSOLE": "true", "LOG_LEVEL": "DEBUG"},
            **{"PROVIDER_OPENAI_URL": self.provider.url, "WAIT_SECONDS": "50"},
            **self.servers(0),
        }
        names = ("web", "web2", "worker", "sweeper")
        self.stack = Stack(directory, self._url, server, names=names, environment=self._environment())
        opened.enter_context(self.stack)

    def servers(self, number: int) -> dict[str, str]:
        """What reaches the servers with the first or the second password; and the provider."""
        database = make_url(self._url).set(username=self.roles[number], password=SERVERS[number])
        url = self.stack.redis.url if hasattr(self, "stack") else ""
        port = url.rpartition(":")[2] or str(self._redis.connection_pool.connection_kwargs["port"]) + "/0"
        redis_url = f"redis://fusionai:{SERVERS[number]}@127.0.0.1:{port}"
        return {
            "DATABASE_URL": database.render_as_string(hide_password=False),
            "REDIS_URL": redis_url,
            "BROKER_URL": redis_url,
            "OPENAI_API_KEY": PROVIDER[number],
        }

    def learn(self, number: int) -> None:
        """A password more at Redis, a key at the provider."""
        self._redis.execute_command("ACL", "SETUSER", "fusionai", "on", "~*", "&*", "+@all", f">{SERVERS[number]}")
        self.provider.keys.add(PROVIDER[number])

    def forget(self, number: int) -> None:
        """The same backwards; and whoever is connected with what is gone is cut off."""
        self._redis.execute_command("ACL", "SETUSER", "fusionai", f"<{SERVERS[number]}")
        self._redis.execute_command("CLIENT", "KILL", "USER", "fusionai")
        self.provider.keys.discard(PROVIDER[number])

    def run(self, *statements: str) -> None:
        """Statements of the page, of roles of this test's own; one that a deadlock ends is run again, as it says."""
        with self._admin.connect() as connection:
            for statement in statements:
                ours = statement.replace("fusionai_", f"{self._name}_").replace("'…'", f"'{SERVERS[1]}'")
                await_condition(lambda ours=ours: _ran(connection, ours), what=statement)

    def _first_role(self, directory: Path) -> None:
        """One that owns all tables, and logs in by its password, as the next one will."""
        rules = directory / "pg_hba.conf"
        rules.write_text("".join(f"local all {role} scram-sha-256\n" for role in self.roles) + rules.read_text())
        with self._admin.connect() as connection:
            tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars()
            owned = [f"ALTER TABLE {table} OWNER TO {self.roles[0]}" for table in tables]
        self.run(f"CREATE ROLE {self.roles[0]} LOGIN PASSWORD '{SERVERS[0]}'", *owned, "SELECT pg_reload_conf()")

    def roll(self, *names: str, **changes: str | None) -> None:
        """Restart these processes one after the other with other settings; None: without this one."""
        for name, value in changes.items():
            self.settings[name] = value or ""
        for name in names:
            self.stack.processes[name].env.update(self._environment())
            self.stack.restart(name)

    def _environment(self) -> dict[str, str]:
        return {
            name if name.endswith("_API_KEY") else f"FUSIONAI_{name}": value for name, value in self.settings.items()
        }

    def makes_what_belongs_to_the_owner(self) -> None:
        """A migration that runs as the second role makes tables that the first may use as well."""
        engine = create_engine(self.servers(1)["DATABASE_URL"])
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE made_later (a INTEGER)"))
            owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'made_later'"
            assert connection.execute(text(owner)).scalar_one() == f"{self._name}_owner"
        engine.dispose()

    def close(self) -> None:
        """Hang up."""
        self._admin.dispose()


def _ran(connection: Any, statement: str) -> bool:
    try:
        connection.execute(text(statement))
    except OperationalError as error:
        assert isinstance(error.orig, DeadlockDetected), error
        return False
    return True


def _of_the_page() -> tuple[list[str], list[str], list[str]]:
    """What deploy/cluster.md says of PostgreSQL: once; before the processes are restarted; and after."""
    part = PAGE.read_text().partition("### A second role")[2].partition("\n### ")[0]
    lines = [line.strip() for line in part.splitlines() if line.startswith("    ")]
    second, then = (next(at for at, line in enumerate(lines) if word in line) for word in ("LOGIN PASSWORD", "--"))
    return lines[:second], lines[second:then], lines[then + 1 :]


@pytest.fixture
def rotated(tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rotated]:
    monkeypatch.setattr(settings(), "key_secret", OLD)
    monkeypatch.setattr(settings(), "operator_password", PASSWORD)
    with ExitStack() as opened:
        made = Rotated(opened, tmp_path, postgres)
        opened.callback(made.close)
        yield made


@pytest.mark.chaos
@pytest.mark.chaos_short
def test_every_secret_is_changed_under_load(rotated: Rotated, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stack, webs, every = rotated.stack, ("web", "web2"), ("web", "web2", "worker", "sweeper")
    account = stack.open_account()
    begin = lambda **who: stack.database.write_sync(lambda c: console_sessions.begin(c, **who))  # noqa: E731
    with Callers(stack) as callers:
        callers.add(account.live_key)
        callers.sessions = [begin(operator="ann", password=PASSWORD), begin(key_id=_key_id(stack, account.id))]
        callers.go_on()

        once, before, after = _of_the_page()
        rotated.learn(1)
        rotated.run(*once)
        callers.go_on()
        rotated.run(*before)
        passwords = f"{PASSWORD} {NEXT_PASSWORD}"
        rotated.roll(*every, KEY_SECRET_NEXT=NEW, OPERATOR_PASSWORD=passwords, **rotated.servers(1))
        rotated.run(*after)
        rotated.forget(0)
        rotated.provider.used.clear()
        callers.password = NEXT_PASSWORD
        callers.add(_new_key(stack, account.id))
        callers.go_on()

        rotated.roll("web", KEY_SECRET=NEW, KEY_SECRET_NEXT=None, KEY_SECRETS_OLD=OLD)
        for name, value in {"key_secret": NEW, "key_secrets_old": OLD, "operator_password": passwords}.items():
            monkeypatch.setattr(settings(), name, value)
        callers.add(_new_key(stack, account.id))
        callers.go_on()  # web is a step ahead of web2
        rotated.roll("web2")
        await_condition(lambda: _keys(stack)["old"] == 1, what="the keys in use under the new secret")
        callers.sessions = [begin(operator="bob", password=NEXT_PASSWORD)]
        stack.database.write_sync(accounts.revoke_key, account.test_key)  # nobody uses it
        assert _keys(stack) == {"in_force": 3, "old": 0}
        callers.go_on()

        rotated.roll(*webs, KEY_SECRETS_OLD=None, OPERATOR_PASSWORD=NEXT_PASSWORD)
        callers.go_on()
        gone = callers.ask(0, "GET", "/v1/operator/queues", {"authorization": f"Bearer {PASSWORD}"})
        assert gone.status_code == 401
    assert callers.refused == [] and callers.done > 60
    assert rotated.provider.used == {PROVIDER[1]}
    rotated.makes_what_belongs_to_the_owner()
    stack.quiet()
    assert {row.status for row in stack.rows("SELECT status FROM jobs")} == {"succeeded"}
    assert stack.database.read_sync(verify) == []
    _check_unseen(stack, tmp_path)


def _new_key(stack: Stack, account_id: str) -> str:
    return stack.database.write_sync(accounts.create_key, account_id, "live")[1]


def _key_id(stack: Stack, account_id: str) -> str:
    return str(stack.rows("SELECT id FROM api_keys WHERE account_id = :id AND mode = 'live'", id=account_id)[0].id)


def _keys(stack: Stack) -> dict[str, int]:
    return {one.standing: one.keys for one in stack.database.read_sync(key_standing.counts)}


def _check_unseen(stack: Stack, directory: Path) -> None:
    """No secret is in a log, in what Prometheus reads, in the list of processes, in a row or in Redis."""
    commands = [path.read_bytes().decode(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline")]
    logs = [path.read_text(errors="replace") for path in directory.glob("*.log")]
    metrics = httpx.get(stack.url("web") + "/metrics", trust_env=False).text
    assert len(logs) >= 4 and "fusionai_jobs_settled_total" in metrics
    for place in (*commands, *logs, metrics):
        assert [canary for canary in CANARIES if canary in place] == []
    for canary in CANARIES:
        check_nowhere(canary, stack.database, stack.redis.url)
