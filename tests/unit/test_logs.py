"""What a log says of an error: its type, its code and where it happened, and nothing of what it was about."""

import asyncio
import gc
import logging

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from shared import clock, db, logs
from shared.db import Database
from shared.db.models import job_payloads

SECRET = "my-secret-prompt"


def fail() -> None:
    raise ValueError(SECRET)


def shown(record: logging.LogRecord) -> str:
    return logs._Formatter("%(levelname)s %(name)s: %(message)s").format(record)


def test_an_exception_is_told_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    try:
        fail()
    except ValueError:
        logging.getLogger("some.library").exception("it failed")
    (record,) = caplog.records
    record.exc_text = None
    told = shown(record)
    assert "it failed" in told and "ValueError" in told and "in fail" in told and SECRET not in told


def test_a_task_that_nobody_awaits_is_told_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    async def forget() -> None:
        async def task() -> None:
            fail()

        await asyncio.wait([asyncio.create_task(task())])
        gc.collect()

    asyncio.run(forget())
    gc.collect()
    (record,) = [record for record in caplog.records if record.name == "asyncio"]
    record.exc_text = None
    told = shown(record)
    assert "never retrieved" in told and "ValueError" in told and SECRET not in told


def test_a_databases_error_has_its_code(database: Database) -> None:
    """The database's own words have whole rows in them."""

    def twice(connection: Connection) -> None:
        for _ in range(2):
            db.insert_rows(connection, job_payloads, [{"job_id": "a", "request": SECRET, "offers": ""}])

    with pytest.raises(IntegrityError) as error:
        database.write_sync(twice)
    assert logs.kind(error.value) in ("IntegrityError (23505)", "IntegrityError (SQLITE_CONSTRAINT_PRIMARYKEY)")
    assert "test_logs.py" in logs.trace(error.value)


def test_a_systems_error_has_its_words() -> None:
    assert logs.kind(OSError(28, "No space left on device")) == "OSError (No space left on device)"


def test_the_same_warning_is_let_through_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now, seldom = 100.0, logs.Seldom()
    monkeypatch.setattr(clock, "monotonic", lambda: now)

    def said(text: str = "Invalid HTTP request received.", level: int = logging.WARNING) -> str:
        record = logging.LogRecord("uvicorn.error", level, "", 0, text, (), None)
        return record.getMessage() if seldom.filter(record) else ""

    assert [said() for _ in range(15)] == ["Invalid HTTP request received.", *[""] * 14]
    assert said("another") == "another"
    assert said(level=logging.ERROR) and said(level=logging.ERROR)
    now += 60
    assert said() == "Invalid HTTP request received. (14 more since the last line like this)"
    now += 60
    assert said() == "Invalid HTTP request received."


def test_a_log_has_nothing_that_a_terminal_obeys() -> None:
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "said %s\n\tmore", ("\x1b[2J\x9b31m\u202eé",), None)
    assert shown(record) == "ERROR a: said ?[2J?31m?é\n\tmore"
