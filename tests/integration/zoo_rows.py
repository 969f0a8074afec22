"""Cells of the upstream zoo as jobs: through the real engine, adapters, pace and ledger, at a simulator over HTTP.

Each cell has a provider of its own, at which its fault happens, and a spare one of the same protocol that is well, so
that the cells of a run, which all run at once, learn nothing of each other. Both are rows of a catalogue.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import httpx
import orjson
import pytest

from shared.db import Database
from shared.queues import Lane, queue_name
from shared.settings import settings
from shared.submissions import catalogue as catalogues
from tests.catalogues import written
from tests.integration import world
from tests.integration.test_engine import Silent
from tests.providers.zoo import Order
from tests.providers.zoo_cells import PROTOCOLS
from workers.pacing import Pace, PaceStore, Recorder
from workers.providers import Upstream
from workers.running.attempts import Attempts
from workers.running.engine import Engine
from workers.running.publisher import Publisher
from workers.running.settler import Settler
from workers.running.slots import Slots
from workers.upstream.transport import ProviderClient

#: The key of every provider here; nowhere else.
CANARY: Final = "sk-canary-7c1e"
_KEY_NAME: Final = "ZOO_API_KEY"
#: Another model of the same protocol, at which nothing goes wrong.
_SPARE: Final = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-haiku-4-5-20251001",
    "google": "gemini-2.5-flash-lite",
}
#: A micro-credit a token of input, two a token of output.
_ROWS: Final = """
[providers.{name}]
protocol = "{protocol}"
base_url = "{url}"
key = "{key}"
[models.{name}]
type = "chat.completion"
provider = "{name}"
upstream = "{upstream}"
purpose = "Provider faults"
input = 1_000_000
output = 2_000_000
max_output = 500
"""


@dataclass
class Cell:
    """One fault in one protocol, and the job that meets it."""

    number: int
    name: str
    protocol: str
    order: Order
    expected: Any = None
    #: It breaks its connection, so that no other call may be made with its client.
    breaks: bool = False
    id: str = ""

    @property
    def mark(self) -> str:
        """What its prompt has, and no other's."""
        return f"cell {self.number:04}."

    @property
    def primary(self) -> str:
        """The provider at which the fault happens, and its model."""
        return f"zoo-{self.number:04}"

    @property
    def spare(self) -> str:
        """The one to turn to, and its model."""
        return f"spare-{self.number:04}"

    @property
    def rule(self) -> dict[str, Any]:
        """The simulator's order."""
        return {"contains": self.mark, "model": PROTOCOLS[self.protocol].upstream, "fault": self.order}

    def rows(self, simulator_url: str) -> str:
        """Its two providers and their models."""
        spoken = PROTOCOLS[self.protocol]
        same = {"protocol": self.protocol, "url": simulator_url + spoken.path, "key": _KEY_NAME}
        primary = _ROWS.format(name=self.primary, upstream=spoken.upstream, **same)
        return primary + _ROWS.format(name=self.spare, upstream=_SPARE[self.protocol], **same)


@dataclass
class Came:
    """What came of a cell, as the rows have it."""

    job: Mapping[str, Any]
    result: Mapping[str, Any]
    #: By kind, the amounts of what its transfers moved.
    moved: Mapping[str, list[int]]
    #: The calls, in order, as the job shows them.
    attempts: list[Mapping[str, Any]]

    @property
    def tried(self) -> list[str]:
        """The providers that were called, in order."""
        return [one["provider"] for one in self.attempts]

    @property
    def error(self) -> Mapping[str, Any]:
        """The error that its caller is shown; empty: none."""
        return dict(orjson.loads(self.result["error"])) if self.result.get("error") else {}


@dataclass
class Zoo:
    """Cells in one database, and the engine that runs them."""

    database: Database
    redis_url: str
    simulator_url: str

    @contextmanager
    def sold(self, cells: Sequence[Cell], directory: Path) -> Iterator[None]:
        """Their providers are in the catalogue, and have keys, as long as the block."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv(_KEY_NAME, CANARY)
            file = written(directory, *(cell.rows(self.simulator_url) for cell in cells))
            patched.setattr(settings(), "catalogue", file)
            catalogues.forget()
            yield
        catalogues.forget()

    def accept(self, cells: Sequence[Cell], *, lane: Lane, stream: bool, **routing: Any) -> None:
        """Make the job of each, as customers' are."""
        holder = world.open_account(self.database, credits=100_000)
        acceptor = world.Acceptor(self.database, world.RecordedBell())
        orders = []
        for cell in cells:
            messages = [{"role": "user", "content": f"{cell.mark} Hello there, how are you?"}]
            wanted = world.submission(
                model=cell.primary, messages=messages, max_tokens=200, stream=stream,
                routing={"fallbacks": [cell.spare], **routing},
            )  # fmt: skip
            orders.append(acceptor.prepare(holder, [wanted], listed=lane == "batch", claim=None))
            cell.id = str(orders[-1].rows[0]["id"])
        assert not [one for one in world.accept_all(self.database, orders) if isinstance(one, Exception)]

    def script(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Set the simulator's script."""
        address = f"{self.simulator_url}/_simulator/script"
        urlopen(Request(address, orjson.dumps({"rules": list(rules)}), method="POST")).close()

    def run(self, cells: Sequence[Cell], *, lane: Lane) -> None:
        """Run their jobs until none waits or runs; those that are put off are left so."""
        asyncio.run(self._run(cells, lane))

    async def _run(self, cells: Sequence[Cell], lane: Lane) -> None:
        shared, own = ProviderClient(len(cells)), {cell.number: ProviderClient(2) for cell in cells if cell.breaks}
        upstreams = {
            name: upstream
            for cell in cells
            for name, upstream in _connected(cell, own.get(cell.number, shared)).items()
        }
        pace, publisher = Pace(PaceStore(self.redis_url), "zoo"), Publisher(self.redis_url)
        statistics = Recorder(self.redis_url)
        slots = Slots({queue_name(name, lane): 2 for cell in cells for name in (cell.primary, cell.spare)})
        settler = Settler(self.database, Silent(), lambda deliveries: None)
        calls = Attempts(upstreams, pace, publisher, statistics=statistics)
        engine = Engine(self.database, world.new_worker(self.database), calls, slots, settler)
        engine.start()
        async with asyncio.timeout(100):
            for cell in cells:
                engine.offer(queue_name(cell.primary, lane), [cell.id])
            await engine.quiet()
            await engine.stop(5)
        assert not slots.busy(), "every slot came back"
        for one in (pace, publisher, statistics):
            await one.close()
        for client in (shared, *own.values()):
            await client.aclose()

    def came(self, cells: Sequence[Cell]) -> list[Came]:
        """What came of each."""
        m, database = world.m, self.database
        jobs = {row["id"]: row for row in world.rows(database, m.jobs)}
        results = {row["job_id"]: row for row in world.rows(database, m.job_results)}
        payloads = {row["job_id"]: row for row in world.rows(database, m.job_payloads)}
        moved: dict[str, dict[str, list[int]]] = {}
        for row in world.rows(database, m.transfers):
            moved.setdefault(row["subject_id"], {}).setdefault(row["kind"], []).append(row["amount_micros"])
        found = []
        for cell in cells:
            result = results.get(cell.id, {})
            tried = orjson.loads(result.get("attempts") or payloads[cell.id]["attempts"] or "[]")
            found.append(Came(jobs[cell.id], result, moved.get(cell.id, {}), tried))
        return found


def _connected(cell: Cell, client: httpx.AsyncClient) -> dict[str, Upstream]:
    """Its two providers, with the key of the environment."""
    rows, made = catalogues.catalogue().providers, {}
    for name in (cell.primary, cell.spare):
        where = catalogues.endpoint(rows[name])
        assert where is not None and where.key == CANARY
        made[name] = PROTOCOLS[cell.protocol].adapter.connect(rows[name], where, client)
    return made
