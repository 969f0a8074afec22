"""Accounts, jobs and workers for integration tests, made through the product's own functions."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select, update

from producer.admission import accept
from producer.admission.accept import Acceptor
from producer.admission.idempotency import Claim
from producer.admission.prepared import Accepted, PreparedJobs
from shared import accounts, clock, key_holders
from shared.broker.bell import Bell
from shared.db import Database
from shared.db import models as m
from shared.jobs import leases, transitions
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending, Requeue, Settled
from shared.key_holders import KeyHolder
from shared.money import ledger
from shared.settings import settings
from shared.submissions.schemas import Submission, read_submission
from tests import event_shapes, verifying
from workers.maintenance.statements import StatementMaker
from workers.running import lease

CREDIT = 1_000_000
QUEUE = "openai.realtime"
_BODIES: dict[str, dict[str, Any]] = {
    "chat.completion": {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10},
    "embedding": {"model": "text-embedding-3-large", "input": "hi"},
    "image": {"model": "image-gen-2", "prompt": "a cat"},
}


class RecordedBell(Bell):
    """Rings nothing and remembers what was rung; `depths` and `up` are the broker as a test wants it.

    No doorbell is a first lease, whatever the rows say, so that a test may lease what was accepted.
    """

    first_leases = property(lambda self: False, lambda self, value: None)  # type: ignore[assignment]

    def __init__(self) -> None:
        self.rung: list[tuple[str, list[str]]] = []
        #: Those that were rung for as their first lease.
        self.first: list[str] = []
        self.depths: dict[str, int] = {}
        self.up = True
        self.room = True

    def ring(self, queue: str, ids: Sequence[str], *, first: bool = False) -> "Future[bool]":
        if self.up:
            self.rung.append((queue, list(ids)))
            self.first += ids if first else []
        return _done(self.up)

    def would_ring(self, queue: str) -> bool:
        return False  # so that every doorbell goes through `ring`, which records it

    def depth(self, queue: str) -> "Future[int | None]":
        return _done(self.depths.get(queue, 0) if self.up else None)

    def check(self) -> "Future[bool]":
        if self.away == self.up:
            self.away, self.turns = not self.up, self.turns + 1
        return _done(self.up)

    def set_aside(self) -> "Future[list[str]]":
        return _done([])

    def has_room(self, queue: str) -> bool:
        return self.room

    def ids(self, queue: str) -> list[str]:
        """All that was rung on a queue, in order."""
        return [id for name, ids in self.rung if name == queue for id in ids]


def _done(value: Any) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_result(value)
    return future


@contextmanager
def virtual_time() -> Iterator[None]:
    """Whatever is shifted inside is shifted back; ids made after it are of the real time."""
    before = clock.shift_micros()
    try:
        yield
    finally:
        clock.shift(before - clock.shift_micros())
        clock.renew_ids()


def open_account(database: Database, credits: float = 1000, *, test: bool = False) -> KeyHolder:
    """A new account with prepaid credit, and a key of it."""

    def make(connection: Connection) -> KeyHolder:
        account = accounts.create_account(connection, "a")
        if credits:
            ledger.grant(connection, account, round(credits * CREDIT))
        _, key = accounts.create_key(connection, account, "test" if test else "live")
        holder = key_holders.find_key(connection, key)
        assert holder is not None
        return holder

    return database.write_sync(make)


def submission(type: Any = "chat.completion", **changes: Any) -> Submission:
    """A small, good submission."""
    return read_submission(type, {**_BODIES[type], **changes})


def order(
    database: Database,
    holder: KeyHolder,
    *,
    count: int = 1,
    bound: int | None = None,
    listed: bool = False,
    claim: Claim | None = None,
    type: Any = "chat.completion",
) -> PreparedJobs:
    """Jobs as the acceptor prepares them; `bound` overrules each job's price."""
    made = Acceptor(database, RecordedBell()).prepare(holder, [submission(type)] * count, listed=listed, claim=claim)
    for row in made.rows if bound is not None else ():
        row["bound_micros"] = bound
    return made


def accept_all(database: Database, orders: Sequence[PreparedJobs]) -> list[Accepted | Exception]:
    """The real acceptance, one transaction."""
    return database.write_sync(accept.accept, orders)


def queued(database: Database, holder: KeyHolder, count: int = 1, **more: Any) -> list[str]:
    """Ids of jobs that have just been accepted."""
    made = order(database, holder, count=count, listed=count > 1, **more)
    (outcome,) = accept_all(database, [made])
    assert isinstance(outcome, Accepted)
    return [row["id"] for row in made.rows]


def new_worker(database: Database, *, probation: bool = False) -> str:
    """An incarnation with a running lease."""
    id = clock.new_id("wrk")
    database.write_sync(lease.register, id, probation)
    return id


def take(database: Database, worker: str, ids: Sequence[str], queue: str | None = None) -> list[Leased]:
    """Lease by each job's own queue, or all by one."""

    def work(connection: Connection) -> list[Leased]:
        wanted: dict[str, list[str]] = {}
        for row in connection.execute(select(m.jobs.c.id, m.jobs.c.queue).where(m.jobs.c.id.in_(ids))):
            wanted.setdefault(queue or row.queue, []).append(row.id)
        return leases.lease(connection, worker, wanted)

    return database.write_sync(work)


def settle(database: Database, *outcomes: Ending | Requeue) -> Settled:
    """The real settlement, one transaction."""
    return database.write_sync(transitions.settle, priced(database, outcomes))


def priced(database: Database, outcomes: Sequence[Ending | Requeue]) -> list[Ending | Requeue]:
    """The same outcomes; what a test has made up as a charge is the price of its usage, at the offer of its job."""
    ends = [_with_usage(one) if isinstance(one, Ending) else one for one in outcomes]

    def work(connection: Connection) -> None:
        for one in ends:
            if isinstance(one, Ending) and _tokens(one) + one.images:
                _price_so(connection, one)

    database.write_sync(work)
    return ends


def _with_usage(ending: Ending) -> Ending:
    """The same with an answer and some usage, and who served it."""
    if ending.status == "succeeded" and ending.response is None:
        ending = replace(ending, response="{}")
    some = _tokens(ending) + ending.images
    if not some and not ending.charge_micros:
        return ending
    served = {"provider": ending.provider or "openai", "model": ending.model or "gpt-4"}
    return replace(ending, **served, prompt_tokens=ending.prompt_tokens if some else 1)


def _tokens(ending: Ending) -> int:
    return ending.prompt_tokens + ending.completion_tokens


def _price_so(connection: Connection, ending: Ending) -> None:
    """Let a job's offer be such that its usage costs what the test wants."""
    payload = m.job_payloads.c.job_id == ending.job_id
    (offers,) = connection.execute(select(m.job_payloads.c.offers).where(payload)).one()
    tokens, charge = _tokens(ending), ending.charge_micros
    each = charge * CREDIT // tokens if tokens else 0
    images = {"1024x1024": 0 if tokens else charge // ending.images, "": 0} if ending.images else {}
    named = {"provider": ending.provider, "model": ending.model, "bound_micros": 2**53}
    offer = {**orjson.loads(offers)[0], **named, "input": each, "output": each, "images": images}
    connection.execute(update(m.job_payloads).where(payload).values(offers=orjson.dumps([offer]).decode()))


def good_end(job: Leased, charge: int = 0, **more: Any) -> Ending:
    """A success that charges."""
    return Ending(job.id, job.epoch, "succeeded", response="{}", charge_micros=charge, **more)


def row(database: Database, id: str) -> dict[str, Any]:
    """A job's hot row."""
    statement = select(m.jobs).where(m.jobs.c.id == id)
    return dict(database.read_sync(lambda connection: connection.execute(statement).mappings().one()))


def rows(database: Database, table: Any, **where: Any) -> list[dict[str, Any]]:
    """Rows of a table, oldest first."""
    statement = select(table).filter_by(**where)
    if "id" in table.c:
        statement = statement.order_by(table.c.id)
    return database.read_sync(lambda connection: [dict(found) for found in connection.execute(statement).mappings()])


def change(database: Database, id: str, **values: Any) -> None:
    """Meddle with a job's row."""
    statement = update(m.jobs).where(m.jobs.c.id == id).values(values)
    database.write_sync(lambda connection: connection.execute(statement).rowcount)


def events(database: Database, account_id: str) -> list[str]:
    """Types of an account's events in their sequence, which has no gap; those of live keys, then those of test keys."""
    found = sorted(
        rows(database, m.events, account_id=account_id), key=lambda event: (event["test"], event["sequence"])
    )
    return [type for test in (False, True) for type in _numbered([one for one in found if one["test"] == test])]


def _numbered(found: Sequence[dict[str, Any]]) -> list[str]:
    assert [event["sequence"] for event in found] == list(range(1, len(found) + 1))
    return [event["type"] for event in found]


def violations(database: Database) -> list[str]:
    """What `fusionai verify` would find, once the sweeper has made the statements of months that virtual time ended.

    And events whose bodies are not as the catalogue of their types shows them.
    """
    while StatementMaker(database).some():
        pass
    return database.read_sync(verifying.violations) + database.read_sync(event_shapes.violations)


def wipe(database: Database) -> None:
    """Empty every table, so that the next example of a stateful test starts anew."""

    def work(connection: Connection) -> None:
        for table in m.metadata.tables.values():
            connection.execute(delete(table))

    database.write_sync(work)


def settings_allow_loopback(monkeypatch: Any) -> None:
    """Let webhooks be registered at loopback addresses, as the embedded stack does."""
    monkeypatch.setattr(settings(), "webhooks_allow_loopback", True)


def woken(database: Database) -> set[str]:
    """The jobs for which a doorbell has been rung."""
    return {row["id"] for row in rows(database, m.jobs) if row["woken_at"] is not None}
