"""Retention removes what has expired, was deleted or was never finished, and nothing else, whoever dies on the way."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, update

from producer.operations import files
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict, InternalError, NotFound, StorageAway
from shared.files import blobs, images
from shared.key_holders import KeyHolder
from shared.settings import settings
from tests.integration import world
from workers.maintenance import retention
from workers.maintenance.retention import Retention
from workers.maintenance.sweep import Sweeper

HOUR = 3600
SHA256 = hashlib.sha256(b"12345").hexdigest()
DAY = 86_400


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(settings(), "state_directory", tmp_path / "state")
    with world.virtual_time():
        yield


def later(seconds: float) -> None:
    clock.shift(round(seconds * clock.MICROS))


def begun(database: Database, holder: KeyHolder, name: str = "in.jsonl") -> str:
    """An upload that has been begun and written."""
    row = database.write_sync(
        files.begin, holder, filename=name, purpose="batch", expires_at=clock.now_micros() + HOUR * clock.MICROS
    )
    with blobs.writer(row["blob"]) as file:
        file.write(b"12345")
    return str(row["id"])


def kept(database: Database, holder: KeyHolder, *, seconds: int = HOUR) -> str:
    id = begun(database, holder)
    database.write_sync(files.finish, id, 5, SHA256, keep_seconds=seconds)
    return id


def ids(database: Database) -> list[str]:
    return [row["id"] for row in world.rows(database, m.files)]


def has(database: Database, id: str) -> tuple[bool, bool]:
    """Whether there is a row, and whether there are bytes."""
    return id in ids(database), blobs.size(f"files/{id}") is not None


def seen(database: Database, holder: KeyHolder, id: str) -> bool:
    try:
        database.read_sync(files.visible, holder, id)
    except NotFound:
        return False
    return True


def batch(database: Database, holder: KeyHolder, file_id: str, status: str = "validating") -> str:
    """A batch made of a file."""
    id = clock.new_id("batch")
    values = {"key_id": holder.key_id, "completion_window": "24h", "notify_each": False, "priority": 0}
    row = m.BatchRow(id=id, account_id=holder.account_id, status=status, input_file_id=file_id, **values).model_dump()
    database.write_sync(lambda connection: connection.execute(insert(m.batches).values(row)).rowcount)
    return id


def test_an_expired_file_is_unseen_at_once_and_gone_soon_after(database: Database) -> None:
    holder = world.open_account(database)
    short, long = kept(database, holder), kept(database, holder, seconds=DAY)
    keeping = Retention(database)
    keeping.run_once()
    assert seen(database, holder, short) and has(database, short) == (True, True)
    later(HOUR + 1)
    keeping.run_once()
    assert not seen(database, holder, short) and has(database, short) == (True, True), "its readers may go on"
    later(60)
    keeping.run_once()
    assert has(database, short) == (False, False)
    assert seen(database, holder, long) and has(database, long) == (True, True)


def test_what_a_dead_upload_left_is_removed(database: Database) -> None:
    holder = world.open_account(database)
    written = begun(database, holder)
    unwritten = begun(database, holder)
    blobs.delete(f"files/{unwritten}")
    assert not seen(database, holder, written)
    keeping = Retention(database)
    later(HOUR - 10)
    keeping.run_once()
    assert len(ids(database)) == 2
    later(80)
    keeping.run_once()
    assert ids(database) == [] and blobs.size(f"files/{written}") is None


def test_an_upload_that_was_too_slow_does_not_come_back(database: Database) -> None:
    holder = world.open_account(database)
    id = begun(database, holder)
    later(HOUR + 61)
    assert database.write_sync(retention.doom, [id]) == [(id, f"files/{id}")]
    with pytest.raises(InternalError, match="took too long"):
        database.write_sync(files.finish, id, 5, SHA256)
    Retention(database).run_once()
    assert has(database, id) == (False, False)


def test_what_a_crash_left_of_a_deletion_is_finished(database: Database) -> None:
    """Marked deleted, and then killed: before the bytes went, or before the row did."""
    holder = world.open_account(database)
    before, between = kept(database, holder, seconds=DAY), kept(database, holder, seconds=DAY)
    for id in (before, between):
        database.write_sync(files.doom, holder, id)
    blobs.delete(f"files/{between}")
    assert not seen(database, holder, before) and not seen(database, holder, between)
    later(61)
    Retention(database).run_once()
    assert ids(database) == [] and blobs.size(f"files/{before}") is None


@pytest.mark.parametrize("status", ["validating", "in_progress", "completed"])
def test_a_file_that_a_batch_is_being_read_from_stays(database: Database, status: str) -> None:
    holder = world.open_account(database)
    id = kept(database, holder)
    made = batch(database, holder, id, status)
    if status == "validating":
        with pytest.raises(Conflict, match=made):
            database.write_sync(files.doom, holder, id)
        later(2 * HOUR)
        Retention(database).run_once()
        assert has(database, id) == (True, True)
        over = update(m.batches).where(m.batches.c.id == made).values(status="in_progress")
        database.write_sync(lambda connection: connection.execute(over).rowcount)
    else:
        later(2 * HOUR)
    Retention(database).run_once()
    assert has(database, id) == (False, False)


def test_a_deletion_waits_for_a_batch_that_is_just_being_made_and_then_refuses(database: Database) -> None:
    holder = world.open_account(database)
    id = kept(database, holder, seconds=DAY)
    locked, outcome = threading.Event(), []

    def delete() -> None:
        locked.wait(10)
        try:
            database.write_sync(files.doom, holder, id)
            outcome.append("deleted")
        except Conflict:
            outcome.append("refused")

    deleting = threading.Thread(target=delete)
    deleting.start()

    def create(connection: Connection) -> None:
        files.visible(connection, holder, id, lock=True)
        locked.set()
        deleting.join(0.3)
        row = m.BatchRow(
            id="batch_1", account_id=holder.account_id, key_id=holder.key_id, status="validating",
            input_file_id=id, completion_window="24h", created_at=1, expires_at=2,
        )  # fmt: skip
        connection.execute(insert(m.batches).values(row.model_dump()))

    database.write_sync(create)
    deleting.join(10)
    assert outcome == ["refused"] and seen(database, holder, id)


def test_storage_that_fails_loses_no_row_and_stops_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = world.open_account(database)
    bad, good = kept(database, holder), kept(database, holder)
    later(HOUR + 61)
    delete = blobs.delete

    def failing(name: str) -> None:
        if name.endswith(bad):
            raise OSError("storage is away")
        delete(name)

    keeping = Retention(database)
    with monkeypatch.context() as away:
        away.setattr(blobs, "delete", failing)
        keeping.run_once()
    assert has(database, bad) == (True, True) and has(database, good) == (False, False)
    assert not seen(database, holder, bad)
    keeping.run_once()
    assert has(database, bad) == (False, False)


def test_a_round_is_bounded_and_several_do_no_harm(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 3)
    holder = world.open_account(database)
    for _ in range(7):
        kept(database, holder)
    later(HOUR + 61)
    Retention(database).run_once()
    assert len(ids(database)) == 4
    rounds = [threading.Thread(target=Retention(database).run_once) for _ in range(3)]
    for round in rounds:
        round.start()
    for round in rounds:
        round.join()
    Retention(database).run_once()
    Retention(database).run_once()
    assert ids(database) == []


def test_pictures_and_plans_go_when_nobody_can_want_them(database: Database) -> None:
    name = images.put("job_1-0", b"\x89PNG")
    with blobs.writer("plans/batch_1") as file:
        file.write(b"{}")
    later(DAY + 2 * HOUR)
    Retention(database).run_once()
    assert images.read(name) is None and blobs.size("plans/batch_1") == 2
    later(35 * DAY)
    Retention(database).run_once()
    assert blobs.size("plans/batch_1") == 2, "a retry may need what never began, a month after the longest window"
    later(2 * DAY)
    Retention(database).run_once()
    assert blobs.size("plans/batch_1") is None


def test_it_goes_on_while_a_round_was_full(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be done in one bounded step is done in the next, not ten minutes later."""
    monkeypatch.setattr("shared.files.blob_stores.MOST_FORGOTTEN", 4)
    monkeypatch.setattr(blobs, "MOST_FORGOTTEN", 4)
    monkeypatch.setattr(retention, "MOST_ASKED", 4)
    names = [images.put(f"job_{n}-0", b"\x89PNG", of_batch=n % 2 == 1) for n in range(22)]
    for place in ("plans", "outputs", "files"):
        for n in range(11):
            with blobs.writer(f"{place}/lost_{n}") as file:
                file.write(b"{}")
    named = [kept(database, world.open_account(database), seconds=60 * DAY) for _ in range(6)]
    later(40 * DAY)
    keeping = Retention(database)
    keeping.run_once()
    assert 0 < sum(images.read(name) is None for name in names) <= 8, "a round is bounded"
    for _ in range(5):
        keeping.run_once()
    assert not any(images.read(name) for name in names)
    assert [*blobs.old("plans/", 0), *blobs.old("outputs/", 0)] == []
    assert sorted(blobs.old("files/", 0)) == sorted(f"files/{id}" for id in named), "what a row names stays"


def test_what_is_just_being_written_needs_no_row_yet(database: Database) -> None:
    for name in ("outputs/a", "files/a"):
        with blobs.writer(name) as file:
            file.write(b"{}")
    later(DAY - HOUR)
    Retention(database).run_once()
    assert blobs.size("outputs/a") == blobs.size("files/a") == 2


def test_files_that_cannot_be_deleted_hold_up_no_others(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    holder = world.open_account(database)
    bad, good = [kept(database, holder) for _ in range(2)], [kept(database, holder) for _ in range(3)]
    later(HOUR + 61)
    remove = blobs.delete

    def failing(name: str) -> None:
        if name.removeprefix("files/") in bad:
            raise StorageAway
        remove(name)

    monkeypatch.setattr(blobs, "delete", failing)
    keeping = Retention(database)
    for _ in range(3):
        keeping.run_once()
    assert ids(database) == bad and len(good) == 3


def test_a_picture_that_cannot_be_deleted_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [images.put(f"job_{n}-0", b"\x89PNG") for n in range(5)]
    later(2 * DAY)
    unlink = Path.unlink

    def failing(path: Path, missing_ok: bool = False) -> None:
        if path.name == names[2]:
            raise PermissionError(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", failing)
    assert images.forget_old() == 4 and images.read(names[2]) is not None


def test_the_sweeper_has_it_done(database: Database) -> None:
    id = kept(database, world.open_account(database))
    later(HOUR + 61)
    sweeper = Sweeper(database, world.RecordedBell())
    sweeper.run_once()
    assert has(database, id) == (False, False)


def test_a_storage_that_hangs_does_not_hold_up_the_sweeper(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(database, world.open_account(database))
    later(HOUR + 61)
    asked, answer = threading.Event(), threading.Event()

    def hanging(name: str) -> None:
        asked.set()
        answer.wait(30)

    monkeypatch.setattr(blobs, "delete", hanging)
    keeping = Retention(database)
    for _ in range(3):
        keeping.turn()
        assert asked.wait(10)
    assert len(ids(database)) == 1 and [one.name for one in threading.enumerate()].count("retention") == 1
    answer.set()
    keeping.close()
    assert ids(database) == []


def test_files_are_seen_by_their_own_account_and_mode_alone(database: Database) -> None:
    holder, other = world.open_account(database), world.open_account(database)
    id = kept(database, holder)
    test = KeyHolder("key_t", holder.account_id, "test", None)
    assert seen(database, holder, id)
    for stranger in (test, other):
        assert not seen(database, stranger, id)
        with pytest.raises(NotFound):
            database.write_sync(files.doom, stranger, id)
    assert has(database, id) == (True, True)
