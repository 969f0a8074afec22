"""A small stack of real processes on loopback: Redis, SQLite, simulator, web, worker, sweeper; and clients for it."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import redis
from sqlalchemy import Connection, select

from shared import accounts, processes
from shared.db import Database
from shared.db.models import workers
from shared.environment import inherited
from shared.money import ledger
from shared.providers import states
from shared.providers.states import ProviderStanding
from shared.settings import settings
from shared.submissions.catalogue import catalogue
from shared.submissions.catalogue_rows import CatalogueModel
from shared.verify import verify
from tests import contract, starting
from tests.conditions import await_condition
from tests.servers import RedisServer, free_port, migrated_sqlite
from workers.simulator.server import SimulatorProcess

CREDIT = 1_000_000
#: The key of the web search, which is to be seen nowhere.
SEARCH_KEY = "tvly-canary-of-the-search"
PROCESSES = ("producer.app", "workers.app", "workers.batches", "workers.maintenance.sweep")
#: Of the operator of these stacks, unless they have another.
OPERATOR_PASSWORD = "an-operators-password"


class Stack:
    """The running stack: `client(key)` talks to it, `script(rules)` orders the providers' faults.

    `given` are settings of its own, by the names of their environment variables without FUSIONAI_; `environment` is
    what else its processes find there.
    """

    def __init__(
        self,
        directory: Path,
        redis_server: RedisServer,
        simulator: SimulatorProcess,
        *,
        environment: Mapping[str, str] | None = None,
        **given: str,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.simulator = simulator.url
        self.log = directory / "stack.log"
        self.environment = {
            "FUSIONAI_DATABASE_URL": migrated_sqlite(directory / "stack.sqlite3"),
            "FUSIONAI_STATE_DIRECTORY": str(directory),
            "FUSIONAI_KEY_SECRET": settings().key_secret,
            "FUSIONAI_BROKER_URL": redis_server.url.replace("/0", "/1"),
            "FUSIONAI_REDIS_URL": redis_server.url,
            "FUSIONAI_SIMULATOR_URL": simulator.url,
            "FUSIONAI_PORT": str(self.port),
            "FUSIONAI_PUBLIC_URL": self.url,
            "FUSIONAI_WEBHOOKS_ALLOW_LOOPBACK": "true",
            "FUSIONAI_OPERATOR_PASSWORD": OPERATOR_PASSWORD,
            "FUSIONAI_SEARCH_KIND": "tavily",
            "FUSIONAI_SEARCH_URL": f"{simulator.url}/tavily",
            "FUSIONAI_SEARCH_KEY": SEARCH_KEY,
            "FUSIONAI_SEARCH_SECONDS": "2",
            "FUSIONAI_SEARCH_ALLOW_LOOPBACK": "true",
            "FUSIONAI_RETRY_BASE_SECONDS": "0.02",
            "FUSIONAI_PAUSE_SECONDS": "0.05",
            "FUSIONAI_PAUSE_MOST_SECONDS": "0.5",
            "FUSIONAI_WEBHOOK_PACE": "0.02",
            "FUSIONAI_DRAIN_SECONDS": "1",
            "FUSIONAI_LOG_LEVEL": "INFO",
            **{f"FUSIONAI_{name}": value for name, value in given.items()},
            **(environment or {}),
        }
        self.database = Database(self.environment["FUSIONAI_DATABASE_URL"])
        self._processes: list[starting.Process] = []

    def start(self) -> None:
        """Start the processes, and wait until they serve."""
        self._processes += [self._process(module) for module in PROCESSES]
        await_condition(self._ready, what="the stack")

    def _process(self, module: str) -> starting.Process:
        keys = {f"{name}_API_KEY": "" for name in "OPENAI ANTHROPIC GEMINI DEEPINFRA DEEPSEEK MISTRAL".split()}
        with self.log.open("ab") as log:
            return starting.start(module, {**inherited(), **keys, **self.environment}, log)

    def terminate(self, module: str) -> starting.Process:
        """SIGTERM to a process."""
        process = self._processes[PROCESSES.index(module)]
        process.terminate()
        return process

    def start_again(self, module: str, *, seconds: float = 10.0) -> None:
        """Wait for the end of a process that was told to stop, for so long at most, and start another."""
        at = PROCESSES.index(module)
        self._processes[at].wait(seconds)
        self._processes[at] = self._process(module)
        await_condition(self._ready, what="the next process")

    def replace(self, module: str) -> None:
        """SIGKILL a process, and start another."""
        at = PROCESSES.index(module)
        processes.kill(self._processes[at])
        self._processes[at].wait()
        self._processes[at] = self._process(module)

    def stop(self) -> None:
        """SIGTERM to each, and wait."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                processes.kill(process)
                process.wait()
        self.database.close()

    def _ready(self) -> bool:
        """The web process serves, and a worker has its lease: on a busy machine that is seconds later."""
        try:
            return httpx.get(self.url + "/readyz").status_code == 200 and self.database.read_sync(_has_worker)
        except httpx.TransportError:
            return False

    def memory_bytes(self) -> int:
        """Resident memory of the web process."""
        pages = Path(f"/proc/{self._processes[0].pid}/statm").read_text().split()[1]
        return int(pages) * 4096

    def write(self, fn: Callable[..., Any], *args: Any) -> Any:
        """One write transaction on the stack's database."""
        return self.database.write_sync(fn, *args)

    def account(self, credits: float = 10_000, plan: str = "enterprise") -> "Account":
        """A new account of the operator's making, without a limit unless its plan has one."""

        def make(connection: Connection) -> tuple[str, str, str]:
            id = accounts.create_account(connection, "acceptance", plan)
            if credits:
                ledger.grant(connection, id, round(credits * CREDIT))
            return id, *(accounts.create_key(connection, id, mode)[1] for mode in ("live", "test"))  # type: ignore[arg-type]

        return Account(self, *self.write(make))

    @contextmanager
    def script(self, *rules: dict[str, Any], limits: Sequence[dict[str, Any]] = ()) -> Iterator[None]:
        """The providers' faults, and what they admit, as long as the block."""
        address = f"{self.simulator}/_simulator/script"
        order = {"rules": list(rules), "limits": list(limits), "record": True}
        httpx.post(address, json=order).raise_for_status()
        try:
            yield
        finally:
            httpx.delete(address).raise_for_status()

    def seen(self, provider: str) -> list[dict[str, Any]]:
        """The calls that a provider has seen since the script was set: `at`, `outcome`, `fault`, `stream` …"""
        answer = httpx.get(f"{self.simulator}/_simulator/log", params={"provider": provider})
        return list(answer.json()["calls"])

    def settle_providers(self) -> None:
        """Wait until no provider's calls are paused or held any more, as a test before may have left them.

        A paused provider is tried by the next call only, and lines of batches turn away from one that has been paused
        for a while: a job is sent to each, until it has answered.
        """
        if not self.in_trouble():
            return
        account = self.account()
        await_condition(lambda: not self._tried(account), what="the providers' recovery")
        account.close()

    def in_trouble(self) -> list[ProviderStanding]:
        """Whose calls are paused or held, of those that the catalogue knows."""
        with redis.from_url(self.environment["FUSIONAI_REDIS_URL"]) as connection:
            now, standings = connection.time()[0], states.read_all(connection)
        troubled = [one for one in standings if one.state.paused or one.state.held_until > now]
        return [one for one in troubled if any(_serves(row, one) for row in catalogue().models.values())]

    def _tried(self, account: "Account") -> list[ProviderStanding]:
        """Those in trouble; a job has been sent to each that is paused."""
        found = self.in_trouble()
        for one in found:
            if one.state.paused:
                model = next(row for row in catalogue().models.values() if _serves(row, one))
                account.run(OF_TYPE[model.type](model=model.id))
        return found

    def violations(self) -> list[str]:
        """What `fusionai verify` would find."""
        return self.database.read_sync(verify)


@contextmanager
def own_stack(directory: Path, redis_server: RedisServer | None = None, **given: Any) -> Iterator[Stack]:
    """A running stack with a simulator of its own, and its own Redis unless one is given; `given` as Stack takes it.

    Of two stacks on one Redis each worker would take the other's messages, and find no rows for them.
    """
    with ExitStack() as opened:
        if redis_server is None:
            redis_server = RedisServer().start()
            opened.callback(redis_server.stop)
        running = Stack(directory, redis_server, opened.enter_context(SimulatorProcess()), **given)
        opened.callback(running.stop)
        running.start()
        yield running


class Account:
    """A customer: an HTTP client with its live key, another with its test key."""

    def __init__(self, stack: Stack, id: str, live_key: str, test_key: str) -> None:
        self.stack, self.id, self.live_key, self.test_key = stack, id, live_key, test_key
        self.live = self._client(live_key)
        self.test = self._client(test_key)

    def _client(self, key: str) -> httpx.Client:
        """A client of whose answers every one is held against the document."""
        return httpx.Client(
            base_url=self.stack.url + "/v1",
            headers={"authorization": f"Bearer {key}"},
            timeout=40,
            trust_env=False,
            event_hooks={"response": [contract.watch]},
        )

    def close(self) -> None:
        self.live.close()
        self.test.close()

    def submit(self, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        """POST /jobs with the live key: the accepted job."""
        answer = self.live.post("/jobs", json=body, **more)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def finished(self, id: str, *, test: bool = False) -> dict[str, Any]:
        """The job when it has ended; `test`: one of the test key's."""
        client = self.test if test else self.live

        def ended() -> dict[str, Any] | None:
            job = dict(client.get(f"/jobs/{id}", params={"wait": 20}).json())
            assert "finished_at" in job, job
            return job if job["finished_at"] is not None else None

        return await_condition(ended, what=f"the end of {id}") or {}

    def run(self, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Submit and wait for the end."""
        return self.finished(self.submit(body, **more)["id"])


def chat(content: str = "hello", **changes: Any) -> dict[str, Any]:
    """The body of a small chat job."""
    message = {"role": "user", "content": content}
    return {"type": "chat.completion", "model": "gpt-4", "messages": [message], "max_tokens": 50, **changes}


def embedding(**changes: Any) -> dict[str, Any]:
    """The body of a small embedding job."""
    return {"type": "embedding", "model": "text-embedding-3-large", "input": ["a", "b"], **changes}


def image(**changes: Any) -> dict[str, Any]:
    """The body of a small image job."""
    return {"type": "image", "model": "image-gen-2", "prompt": "a cat", **changes}


#: The body of a small job of each type.
OF_TYPE: dict[str, Callable[..., dict[str, Any]]] = {"chat.completion": chat, "embedding": embedding, "image": image}


def _has_worker(connection: Connection) -> bool:
    return connection.execute(select(workers.c.id).where(workers.c.lapsed_at.is_(None)).limit(1)).first() is not None


def _serves(row: CatalogueModel, one: ProviderStanding) -> bool:
    return row.provider == one.provider and one.upstream in (None, row.upstream)
