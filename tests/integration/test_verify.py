"""What `verify` finds: each promise is broken by hand in a consistent database, and the broken row is named."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text, update
from sqlalchemy.exc import IntegrityError

from producer.admission import idempotency
from producer.admission.idempotency import Claim
from producer.operations import credits as credits_ops
from producer.operations import webhooks
from producer.operations.credits import ThresholdSpecs
from producer.operations.webhooks import WebhookSpec
from shared import clock
from shared.audit import Action
from shared.db import Database, retention_marks
from shared.db import models as m
from shared.db.models.jobs import UNFINISHED
from shared.files import blobs
from shared.jobs import relayed
from shared.jobs.outcomes import Ending, RelayedPart
from shared.money import corrections
from shared.settings import settings
from shared.strict_json import dumps
from shared.verify import unnamed_blobs, verify, verify_all
from shared.verify.findings import SHOWN, Finding
from tests.integration import batch_world, world
from tests.integration.batch_world import chat
from tests.integration.mutations import ENDED, MUTATIONS, OUTPUT, A, Mutation
from tests.servers import migrated_sqlite


def scene(database: Database) -> None:
    """Two accounts with everything: jobs in every state, a batch with both kinds of lines, webhooks, kept answers."""
    holders = [world.open_account(database) for _ in range(2)]
    for holder in holders:
        database.write_sync(webhooks.create, holder, WebhookSpec(url="http://127.0.0.1:1/x"))
        ids = world.queued(database, holder, 3, bound=1000)
        held = world.take(database, world.new_worker(database), ids)
        world.settle(
            database,
            *(world.good_end(job, 400, provider="openai", model="gpt-4", prompt_tokens=1) for job in held),
        )
        world.queued(database, holder, 2, bound=70)
        world.take(database, world.new_worker(database), world.queued(database, holder, 1, bound=50))
    _odd_ends(database, holders[0])
    until = clock.now_micros() + 86_400 * clock.MICROS
    database.write_sync(corrections.grant, Action("a", "credits.grant"), holders[0].account_id, 7_000_000, until)
    id = batch_world.new_batch(database, holders[0], [chat("a"), chat("b"), chat("c")])
    batch_world.take_turns(database)
    first, *rest = world.take(database, world.new_worker(database), batch_world.job_ids(database, id))
    failed = Ending(first.id, first.epoch, "failed", error={"message": "no", "type": "invalid_request", "code": 400})
    world.settle(database, failed, *(world.good_end(job, 5) for job in rest))
    batch_world.take_turns(database)
    spec = ThresholdSpecs.model_validate(
        {"thresholds": [{"kind": "remaining", "credits": 10}, {"kind": "spent", "credits": 50}]}
    )
    database.write_sync(credits_ops.set_thresholds, holders[0].account_id, spec)


def _odd_ends(database: Database, holder: world.KeyHolder) -> None:
    """A stream that was cut short, a cancelled job, a picture, a job of a test key; an answer that is kept."""
    (streamed,) = world.take(database, world.new_worker(database), world.queued(database, holder, 1, bound=90))
    database.write_sync(relayed.note, [RelayedPart(streamed.id, 1, "openai", "gpt-4", 3, 4, 30)])
    part: dict[str, Any] = {"partial": '{"choices": []}', "relayed": True, "estimated": True}
    world.settle(database, _cancelled(streamed, charge_micros=30, prompt_tokens=3, completion_tokens=4, **part))
    (dropped,) = world.take(database, world.new_worker(database), world.queued(database, holder, 1, bound=90))
    world.settle(database, _cancelled(dropped))
    (drawn,) = world.take(database, world.new_worker(database), world.queued(database, holder, 1, type="image"))
    world.settle(database, world.good_end(drawn, 100, images=1, provider="openai", model="image-gen-2"))
    tester = world.open_account(database, test=True)
    (tried,) = world.take(database, world.new_worker(database), world.queued(database, tester, 1))
    world.settle(database, world.good_end(tried, prompt_tokens=3))
    kept = Claim(holder.account_id, "live:k", "f")
    database.write_sync(idempotency.keep, [(kept, 202, dumps({"id": drawn.id}))])
    kept = Claim(holder.account_id, "live:list", "f")
    database.write_sync(idempotency.keep, [(kept, 202, dumps({"data": [{"id": dropped.id}]}))])


def _cancelled(job: Any, **more: Any) -> Ending:
    return Ending(job.id, job.epoch, "cancelled", **more)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The scene, once for all that break it: they are rolled back."""
    directory: Path = tmp_path_factory.mktemp("verify")
    patch = pytest.MonkeyPatch()
    patch.setattr(settings(), "state_directory", directory)
    patch.setattr(settings(), "webhooks_allow_loopback", True)
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres").migrated())
    else:
        url = migrated_sqlite(directory / "v.sqlite3")
    database = Database(url)
    scene(database)
    yield database
    database.close()
    patch.undo()


def _named(connection: Connection, row: str) -> str:
    """The id of the row that is to be named, as it was before it was broken."""
    of = {"account": A, "event": "(SELECT event_id FROM deliveries WHERE id = (SELECT min(id) FROM deliveries))"}
    return str(connection.execute(text(f"SELECT {of.get(row, row)}")).scalar_one())


def broken(database: Database, mutation: Mutation) -> tuple[str, list[str]]:
    """The row to be named, and what is found; a database that refuses the change has found it as well."""
    with database.engine.connect() as raw:
        connection = raw.execution_options(fusionai_write=True)
        transaction = connection.begin()
        try:
            row = _named(connection, mutation.row)
            for statement in mutation.statements:
                assert connection.execute(text(statement.replace(":", "\\:"))).rowcount > 0, statement
            return row, verify(connection)
        except IntegrityError as error:
            return "transfer_known", [str(error.orig)]
        finally:
            transaction.rollback()


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_broken_promise_is_found_and_its_row_named(built: Database, mutation: Mutation) -> None:
    row, found = broken(built, mutation)
    assert found, mutation.name
    assert any(row in line for line in found), (row, found)


def test_without_a_mutation_nothing_is_found(built: Database) -> None:
    assert built.read_sync(verify) == [] == verify_all(built, stored=True)
    counts = built.read_sync(
        lambda c: [tuple(row) for row in c.execute(text("SELECT status, count(*) FROM jobs GROUP BY 1"))]
    )
    assert {status for status, _ in counts} == {"queued", "running", "succeeded", "failed", "cancelled"}


def test_what_is_under_way_is_found_of_a_system_that_is_to_be_at_rest(built: Database) -> None:
    found = verify_all(built, at_rest=True)
    checks = {finding.check.removeprefix("at rest: ") for finding in found}
    assert checks == {
        *("job has not ended", "account still holds credits", "delivery is neither delivered nor given up"),
    }
    queued = built.read_sync(lambda c: set(c.execute(text(f"SELECT id FROM jobs WHERE {UNFINISHED}")).scalars()))
    named = {finding.row["id"] for finding in found if finding.check.endswith("has not ended") and not finding.more}
    assert named and named <= queued and all(finding.as_json()["check"] for finding in found)


def test_of_many_rows_a_few_are_named_and_the_others_counted(built: Database) -> None:
    def work(connection: Connection) -> list[str]:
        connection.execute(text("UPDATE jobs SET lane = 'fast' WHERE status = 'queued'"))
        connection.execute(text("UPDATE deliveries SET account_id = 'x'"))
        return verify(connection)

    found = [line for line in _rolled_back(built, work) if line.startswith("delivery: event or webhook does not exist")]
    assert len(found) == SHOWN + 1 and found[-1].endswith(" more")


def test_blobs_without_a_row_are_told_with_their_age(built: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with blobs.writer("outputs/batch_nobody.output.jsonl") as file:
        file.write(b"{}")
    try:
        (one,) = unnamed_blobs(built)
        assert (one.name, one.bytes) == ("outputs/batch_nobody.output.jsonl", 2) and one.age_seconds < 600
        assert verify_all(built, stored=True) == [], "it may be being written"
        monkeypatch.setattr(blobs, "age", lambda name: 3 * 86_400.0)
        (found,) = verify_all(built, stored=True)
        assert found.row["blob"] == one.name and found.row["age_seconds"] == 3 * 86_400
    finally:
        blobs.delete("outputs/batch_nobody.output.jsonl")


@pytest.mark.parametrize("harm", ["gone", "shorter", "other", "other, of an earlier version"])
def test_files_are_compared_with_their_bytes_when_asked(built: Database, harm: str) -> None:
    id, blob = built.read_sync(
        lambda c: tuple(c.execute(text(f"SELECT id, blob FROM files WHERE id = {OUTPUT}")).one())
    )
    with blobs.reader(blob) as file:
        content = file.read()
    blobs.delete(blob)
    if harm != "gone":
        with blobs.writer(blob) as kept:
            kept.write(content[:-1] if harm == "shorter" else content[:-1] + b" ")
    assert built.read_sync(verify) == []
    if harm == "other, of an earlier version":
        known = built.read_sync(lambda c: c.execute(text(f"SELECT sha256 FROM files WHERE id = '{id}'")).scalar_one())
        _set_hash(built, id, None)
        assert verify_all(built, stored=True) == [], "it wrote no hash"
        _set_hash(built, id, known)
    (found,) = verify_all(built, stored=True)
    assert found.row["id"] == id and id in str(found) and found.as_json()["row"]["id"] == id
    with blobs.writer(blob) as kept:
        kept.write(content)
    assert verify_all(built, stored=True) == []


def _set_hash(database: Database, id: str, sha256: str | None) -> None:
    changed = update(m.files).where(m.files.c.id == id).values(sha256=sha256)
    database.write_sync(lambda connection: connection.execute(changed).rowcount)


def _rolled_back(database: Database, work: Callable[[Connection], list[str]]) -> list[str]:
    with database.engine.connect() as raw:
        transaction = raw.execution_options(fusionai_write=True).begin()
        try:
            return work(raw)
        finally:
            transaction.rollback()


def test_what_retention_has_removed_is_not_missed(built: Database) -> None:
    """Jobs with all that is told of them are gone up to an instant; transfers, sums, batches and invoices stay."""

    def work(connection: Connection) -> list[str]:
        over = "SELECT id FROM jobs WHERE finished_at IS NOT NULL"
        for statement in (
            f"DELETE FROM job_payloads WHERE job_id IN ({over})",
            f"DELETE FROM job_results WHERE job_id IN ({over})",
            "DELETE FROM jobs WHERE finished_at IS NOT NULL",
            "DELETE FROM deliveries",
            "DELETE FROM events",
        ):
            assert connection.execute(text(statement)).rowcount
        assert len(verify(connection)) > 5, "without the marks all of it is missed"
        for kind in retention_marks.KINDS:
            retention_marks.raise_to(connection, kind, clock.now_micros())
            retention_marks.raise_to(connection, kind, 5)
        assert retention_marks.marks(connection)["jobs"] > 5, "a mark never goes back"
        return verify(connection)

    assert _rolled_back(built, work) == []


def test_a_forgotten_job_s_money_is_still_looked_at(built: Database) -> None:
    def work(connection: Connection) -> list[str]:
        id = connection.execute(text(f"SELECT {ENDED}")).scalar_one()
        for table, column in (("job_payloads", "job_id"), ("job_results", "job_id"), ("jobs", "id")):
            connection.execute(text(f"DELETE FROM {table} WHERE {column} = :id"), {"id": id})
        for kind in retention_marks.KINDS:
            retention_marks.raise_to(connection, kind, clock.now_micros())
        connection.execute(
            text("UPDATE transfers SET amount_micros = 1 WHERE subject_id = :id AND kind = 'release'"), {"id": id}
        )
        return [line for line in verify(connection) if id in line]

    assert _rolled_back(built, work) != []


def test_nothing_is_found_while_the_system_runs(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checks between the transactions of a crowd: what is in flight is no violation."""
    monkeypatch.setattr(settings(), "state_directory", tmp_path)
    holder = world.open_account(database)
    worker = world.new_worker(database)
    batch = batch_world.new_batch(database, holder, [chat(str(number)) for number in range(30)])
    batch_world.take_turns(database)

    def work() -> None:
        for _ in range(15):
            held = world.take(database, worker, world.queued(database, holder, 4, bound=100))
            world.settle(database, *(world.good_end(job, 40, prompt_tokens=1) for job in held[:2]))
            world.settle(database, *(_cancelled(job) for job in held[2:]))
        for job in world.take(database, worker, batch_world.job_ids(database, batch)):
            world.settle(database, world.good_end(job, 3, prompt_tokens=1))

    async def both() -> list[Finding]:
        crowd, found = asyncio.create_task(asyncio.to_thread(work)), list[Finding]()
        while not crowd.done():
            found += await asyncio.to_thread(verify_all, database)
        await crowd
        return found

    assert asyncio.run(both()) == []


def test_a_picture_s_charge_is_the_price_of_its_quality(database: Database) -> None:
    (job,) = world.take(
        database,
        world.new_worker(database),
        world.queued(database, world.open_account(database), type="image", bound=400),
    )
    world.settle(database, world.good_end(job, 400, images=1, model="image-gen-2"))
    (payload,) = world.rows(database, m.job_payloads)
    asked = {**json.loads(payload["request"]), "quality": "high"}
    (offer,) = json.loads(payload["offers"])
    offer["images"] = {"1024x1024": 100, "high/1024x1024": 400}
    values = {"request": dumps(asked), "offers": dumps([offer])}
    database.write_sync(lambda connection: connection.execute(update(m.job_payloads).values(values)).rowcount)
    assert world.violations(database) == []
