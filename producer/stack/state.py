"""The embedded stack's state directory: its lock, its secrets, the first account's keys, what runs."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.settings import OPERATOR_PASSWORD


class AlreadyUpError(Exception):
    """Another `fusionai up` holds this directory."""


class StateDirectory:
    """`.fusionai/`, readable by its owner alone; every file is replaced whole, never half written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the directory, mode 700, with its logs/."""
        (self.path / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory. The kernel lets go of it when the process ends, however it ends."""
        with (self.path / "up.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                pid = lock.read().strip() or "unknown"
                raise AlreadyUpError(f"`fusionai up` already runs in {self.path} (process {pid})") from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def secrets(self) -> dict[str, str]:
        """The secrets kept here, made the first time; shared.settings reads the same file."""
        kept = self.read("secrets.json")
        made = {
            "key_secret": secrets.token_urlsafe(32),
            "flower_password": secrets.token_urlsafe(12),
            "redis_password": secrets.token_urlsafe(32),
            "redis_operator_password": secrets.token_urlsafe(32),
        }
        if not made.keys() <= kept.keys():
            self.write("secrets.json", made | kept)
        return made | kept

    def operator_password(self) -> str:
        """The operator's password, made the first time, in a file of its own, which its owner can print."""
        path = self.path / OPERATOR_PASSWORD
        if not path.exists():
            self.write_text(OPERATOR_PASSWORD, secrets.token_urlsafe(24) + "\n")
        return path.read_text().strip()

    def first_account(self) -> dict[str, Any]:
        """base_url, account_id, live_key, test_key; empty before the first `fusionai up`."""
        return self.read("first-account.json")

    def running(self) -> dict[str, Any]:
        """What stack.json says of the running stack; empty when none is ready."""
        return self.read("stack.json")

    def read(self, name: str) -> dict[str, Any]:
        try:
            return dict(json.loads((self.path / name).read_text()))
        except FileNotFoundError:
            return {}

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Replace a file of JSON."""
        self.write_text(name, json.dumps(value, indent=2) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Replace a file atomically, mode 600."""
        partial = self.path / f"{name}.{os.getpid()}.partial"
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        partial.replace(self.path / name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)
