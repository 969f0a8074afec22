"""What the tests are given: where the stack is that runs beside them, and whose work is in it."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from shared import accounts
from shared.db import Database
from shared.money import ledger
from tests.acceptance.stack import CREDIT, Account

#: Names the file that has the world, in the environment of the tests.
VARIABLE = "FUSIONAI_TEST_CONSOLE"


@dataclass(frozen=True)
class Customer:
    """An account with keys and with work; `ids`: of what it has, by a name for each (`job`, `batch`, `invoice` …)."""

    id: str
    live_key: str
    test_key: str
    ids: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """A running stack, its accounts, and how to make more; all that `tests.acceptance.stack.Account` asks of one."""

    url: str
    #: A second web process of the same stack, whose console changes nothing.
    read_only_url: str
    database_url: str
    simulator: str
    #: The environment of the stack's processes.
    environment: dict[str, str]
    #: What all processes have logged, and where the secrets are listed that must not be in it.
    log: str
    secrets: str
    chromium: str
    operator_password: str
    customers: dict[str, Customer] = field(default_factory=dict)

    @cached_property
    def database(self) -> Database:
        """The stack's database."""
        return Database(self.database_url)

    def write(self, fn: Callable[..., Any], *args: Any) -> Any:
        """One write transaction on it."""
        return self.database.write_sync(fn, *args)

    def account(self, credits: float = 10_000, plan: str = "enterprise", name: str = "Northwind") -> Account:
        """A new customer, with a live and a test key."""

        def make(connection: Connection) -> tuple[str, str, str]:
            id = accounts.create_account(connection, name, plan)
            if credits:
                ledger.grant(connection, id, round(credits * CREDIT))
            return id, *(accounts.create_key(connection, id, mode)[1] for mode in ("live", "test"))  # type: ignore[arg-type]

        made = Account(self, *self.write(make))  # type: ignore[arg-type]
        self.keep_secret(made.live_key, made.test_key)
        return made

    def keep_secret(self, *secrets: str) -> None:
        """From now on, what must not be in a log."""
        with Path(self.secrets).open("a") as file:
            file.writelines(f"{secret}\n" for secret in secrets)

    def save(self, path: Path) -> None:
        """Write it down for the tests' processes."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls) -> "World":
        """What VARIABLE names."""
        given = json.loads(Path(os.environ[VARIABLE]).read_text())
        customers = {name: Customer(**fields) for name, fields in given.pop("customers").items()}
        return cls(**given, customers=customers)
