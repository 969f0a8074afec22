"""Debian's Redis with TLS alone, for one user with a password: nobody else is let in, and nothing is kept on disk."""

import secrets
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import redis

from tests.cluster.certificates import Authority
from tests.cluster.processes import ServerProcess
from tests.conditions import await_condition
from tests.servers import free_port

USER = "fusionai"
#: What the processes may do there: all that touches data, and ask for the version; as `fusionai up` has it.
_ALLOWED = "+@all -@admin -@dangerous +info"


class SecureRedis:
    """`start`, `kill`, `start` again on the same port, `flush`, `stop`: as `tests.servers.RedisServer`."""

    def __init__(
        self, directory: Path, authority: Authority, *, address: str = "127.0.0.1", within: Sequence[str] = ()
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.address, self.port = address, free_port()
        self.password, self._operator_password = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        self._ca = authority.ca
        certificate, key = authority.issue("redis", address, "localhost")
        self._configuration = directory / "redis.conf"
        self._process = ServerProcess(directory / "redis.log", within=within)
        self._configuration.write_text(
            "\n".join(
                (
                    "port 0",
                    f"tls-port {self.port}",
                    f"bind {address}",
                    f"tls-cert-file {certificate}",
                    f"tls-key-file {key}",
                    f"tls-ca-cert-file {authority.ca}",
                    "tls-auth-clients no",
                    'save ""',
                    "appendonly no",
                    "maxmemory-policy noeviction",
                    "user default off",
                    f"user {USER} on >{self.password} ~* &* {_ALLOWED}",
                    f"user operator on >{self._operator_password} ~* &* +@all",
                )
            )
        )

    @property
    def url(self) -> str:
        """What FUSIONAI_REDIS_URL is."""
        return self.url_with(self.password)

    def url_with(self, password: str) -> str:
        """The same with another password."""
        return f"rediss://{USER}:{password}@{self.address}:{self.port}/0"

    def start(self) -> "SecureRedis":
        """Start, and wait until it answers."""
        self._process.start(["redis-server", str(self._configuration)])
        await_condition(self._answers, what="redis-server")
        return self

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def send(self, number: signal.Signals) -> None:
        """A signal to its process."""
        self._process.send(number)

    def flush(self) -> None:
        """FLUSHALL."""
        with self.operator() as client:
            client.flushall()

    def operator(self) -> redis.Redis:
        """A client that may do everything, to be used as a context."""
        return redis.Redis(
            host=self.address, port=self.port, username="operator", password=self._operator_password, ssl=True,
            ssl_ca_certs=str(self._ca),
        )  # fmt: skip

    stop = kill

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError), self.operator() as client:
            return bool(client.ping())
        return False
