"""A running system whose processes are replaced, one by one, by those of another version."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.chaos.older import RELEASED, source_of
from tests.harness import Account, Stack
from tests.servers import PostgresServer, RedisServer
from tests.upgrade.balancer import Balancer

Version = Literal["older", "newer"]

FIRST_ACCOUNT = Path(__file__).parent / "first_account.py"
NAMES = ("web", "web2", "worker", "worker2", "batches", "sweeper")
#: What a web process has to say that it stops is long enough for the balancer to hear it on a busy machine.
SETTINGS = {
    "CONSOLE": "true",
    "OPERATOR_PASSWORD": "an-operators-password",
    "DRAIN_SECONDS": "3",
    "STOP_NOTICE_SECONDS": "1",
    "SLOTS_BATCH": "12",
    "LEASE_SECONDS": "6",
    "BEAT_SECONDS": "1",
}


class Upgrade(Stack):
    """All processes are of the older version at first, which has migrated the database, too."""

    def __init__(self, directory: Path, database_url: str, redis: RedisServer, older: Path, **given: Any) -> None:
        super().__init__(
            directory, database_url, redis, names=NAMES, sources=dict.fromkeys(NAMES, older), **SETTINGS, **given
        )
        self._older = older
        self.versions: dict[str, Version] = dict.fromkeys(NAMES, "older")
        #: The schema is the newer version's.
        self.migrated = False

    def replace(self, name: str, version: Version) -> None:
        """End a process well and start one of that version in its place, at the same port."""
        self.terminate(name)
        self.processes[name].env.pop("PYTHONPATH", None)
        self.processes[name].env.update(self._place(version))
        self.versions[name] = version
        self.start(name)
        self.ready()

    def open_account(self, credits: int = 100_000, *, counted: bool = True) -> Account:
        """As the stack's, by the older version, for which the schema is; with a webhook of its live events."""
        account = Account(**json.loads(self._run("older", str(FIRST_ACCOUNT), str(credits)).stdout))
        hook = self.call(account.live_key, "POST", "/v1/webhooks", {"url": f"{self.inbox.url}/{account.id}"})
        self.inbox.expect(account.id, hook["secret"])
        return account

    def command(self, version: Version, *words: str, good: bool = True) -> str:
        """What a version's `fusionai` says; `good`: it is to end well."""
        done = self._run(version, "-m", "producer.cli", *words, good=good)
        self.migrated = self.migrated or (version, words[0]) == ("newer", "migrate")
        return done.stdout + done.stderr

    def _run(self, version: Version, *argv: str, good: bool = True) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in self._env.items() if name != "PYTHONPATH"} | self._place(version)
        words = [sys.executable, *argv]
        done = subprocess.run(words, env=env, cwd=self.directory, capture_output=True, text=True, timeout=120)
        assert (done.returncode == 0) == good, done.stdout + done.stderr
        return done

    def _place(self, version: Version) -> dict[str, str]:
        """Where Python finds it."""
        place = str(self._older) if version == "older" else os.environ.get("PYTHONPATH")
        return {} if place is None else {"PYTHONPATH": place}

    @property
    def ports(self) -> Sequence[int]:
        """Where the web processes listen."""
        return [int(url.rpartition(":")[2]) for url in self._urls.values()]


@contextmanager
def upgrading(directory: Path, **environment: str) -> Iterator[tuple[Upgrade, Balancer]]:
    """The system as it was released, on databases of its own that lose nothing, and what stands before it.

    `environment`: what its processes find there otherwise.
    """
    older = source_of(RELEASED, directory / "older")
    server, redis = PostgresServer(durable=True), RedisServer().start()
    try:
        url = server.database()
        stack = Upgrade(directory, url, redis, older, environment=environment)
        stack.command("older", "migrate")
        with stack, Balancer(stack.ports) as balancer:
            stack.until(lambda: len(balancer.ready) == len(stack.ports), what="both web processes before clients")
            yield stack, balancer
    finally:
        redis.stop()
        server.stop()
