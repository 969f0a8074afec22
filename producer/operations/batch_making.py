"""Makes a batch once for its Idempotency-Key; inline requests become an input file like any other before that."""

import asyncio
from collections.abc import Callable
from typing import Any

from producer.admission import idempotency
from producer.admission.idempotency import Claim
from producer.admission.run_once import run_once
from producer.operations import batches, files
from producer.operations.batches import BatchSpec
from shared import clock
from shared.db import Database
from shared.files import blobs
from shared.key_holders import KeyHolder


async def make_once(
    database: Database,
    holder: KeyHolder,
    claim: Claim | None,
    spec: BatchSpec,
    create: Callable[..., Any] = batches.create,
) -> tuple[str, bool]:
    """The batch as JSON, and whether it was made before. `create`: as `batches.create`, which shows it in its form."""
    fresh = spec.requests and not await database.read(idempotency.is_known, claim)
    inline = await _written(database, holder, spec) if fresh else {}
    try:
        return await run_once(database, claim, create, holder, spec, inline)
    except batches.UnwrittenError:  # the earlier answer has just been forgotten
        return await run_once(database, claim, create, holder, spec, await _written(database, holder, spec))


async def _written(database: Database, holder: KeyHolder, spec: BatchSpec) -> dict[str, Any]:
    """The file of inline requests, not yet visible: its id, how many bytes it has, and their SHA-256."""
    lines = await asyncio.to_thread(batches.lines_of, spec)
    wanted: dict[str, Any] = {"filename": "requests.jsonl", "purpose": files.PURPOSE}
    unless_done_by = clock.now_micros() + files.UPLOAD_MICROS
    row = await database.write(files.begin, holder, **wanted, expires_at=unless_done_by, bytes=len(lines))
    try:
        seconds = files.STORAGE_SECONDS + len(lines) / files.LEAST_BYTES_A_SECOND
        sha256 = await files.stored_within(seconds, _write, row["blob"], lines)
    except Exception:
        await files.drop(database, row)
        raise
    return {"id": row["id"], "bytes": len(lines), "sha256": sha256}


def _write(blob: str, content: bytes) -> str:
    with blobs.writer(blob) as file:
        file.write(content)
    return file.sha256
