"""Batches for integration tests: a file of lines in blob storage, a batch of it, and its process taken step by step."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from producer.operations import batches as producer_batches
from producer.operations.batches import BatchSpec
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.files import blobs
from shared.key_holders import KeyHolder
from shared.settings import settings
from tests.integration import world
from workers.batches.scheduler import BatchScheduler


@pytest.fixture(autouse=True)
def files_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Blobs of a test are the test's."""
    monkeypatch.setattr(settings(), "state_directory", tmp_path / "state")


def chat(custom_id: str, content: str = "hi", **body: Any) -> dict[str, Any]:
    """A chat line."""
    asked = {"model": "gpt-4", "messages": [{"role": "user", "content": content}], "max_tokens": 10, **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": asked}


def embed(custom_id: str, **body: Any) -> dict[str, Any]:
    """An embedding line."""
    asked = {"model": "text-embedding-3-large", "input": "hi", **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings", "body": asked}


def draw(custom_id: str, **body: Any) -> dict[str, Any]:
    """An image line."""
    asked = {"model": "image-gen-2", "prompt": "a cat", **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/images/generations", "body": asked}


def upload(database: Database, holder: KeyHolder, content: bytes) -> str:
    """An input file that is there; its id."""
    id = clock.new_id("file")
    with blobs.writer(f"files/{id}") as file:
        file.write(content)
    row = {
        "id": id,
        "account_id": holder.account_id,
        "test": holder.test,
        "purpose": "batch",
        "filename": "input.jsonl",
        "bytes": len(content),
        "blob": f"files/{id}",
        "status": "processed",
        "created_at": clock.now_micros(),
        "expires_at": None,
    }
    database.write_sync(lambda connection: connection.execute(insert(m.files), [row]))
    return id


def new_batch(database: Database, holder: KeyHolder, lines: Sequence[Any], **spec: Any) -> str:
    """A batch of lines (objects, or bytes as they are); its id."""
    content = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    wanted = BatchSpec(input_file_id=upload(database, holder, content), **spec)
    wanted.check()
    return str(database.write_sync(producer_batches.create, holder, wanted, {})["id"])


def row(database: Database, id: str) -> Any:
    """A batch's row."""
    return database.read_sync(lambda c: c.execute(select(m.batches).where(m.batches.c.id == id)).mappings().one())


def shown(database: Database, holder: KeyHolder, id: str) -> dict[str, Any]:
    """A batch as its owner sees it."""
    return database.read_sync(producer_batches.show, holder, id)


def take_turns(database: Database, bell: world.RecordedBell | None = None, *, most: int = 1000) -> BatchScheduler:
    """Run a batches process until it has nothing to do."""
    process = BatchScheduler(database, bell or world.RecordedBell())
    for _ in range(most):
        if not process.run_once():
            return process
    raise AssertionError("the batches process never comes to rest")


def job_ids(database: Database, batch_id: str, status: str | None = None) -> list[str]:
    """Ids of a batch's jobs, in order."""
    statement = select(m.jobs.c.id).where(m.jobs.c.batch_id == batch_id).order_by(m.jobs.c.id)
    if status:
        statement = statement.where(m.jobs.c.status == status)
    return list(database.read_sync(lambda c: c.execute(statement).scalars().all()))


def lines_of(database: Database, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of a file that a batch made."""
    if file_id is None:
        return []
    blob = database.read_sync(lambda c: c.execute(select(m.files.c.blob).where(m.files.c.id == file_id)).scalar_one())
    with blobs.reader(blob) as file:
        return [json.loads(line) for line in file]
