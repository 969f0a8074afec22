"""Operations on files: upload, list, read, delete. The row exists before the bytes do, and after them."""

import asyncio
import logging
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, BinaryIO, ParamSpec, TypeVar

from sqlalchemy import Connection, Select, delete, func, insert, or_, select, text, update

from producer import objects
from producer.admission import audited
from producer.admission.idempotency import Claim
from producer.admission.run_once import run_once
from producer.objects import DeletedFile, File, List
from producer.operations.pages import PageQuery, paged
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.db.models.batches import BEING_READ, MADE_BY_BATCHES
from shared.errors import Conflict, Forbidden, InternalError, InvalidRequest, NotFound, StorageAway
from shared.files import blobs
from shared.key_holders import KeyHolder
from shared.settings import settings

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)

#: The only purpose that a caller may upload for.
PURPOSE = "batch"
#: How long a caller may have a file kept, and how long it is unless they say, in seconds.
LEAST_SECONDS, MOST_SECONDS, KEEP_SECONDS = 3600, 30 * 86_400, 30 * 86_400
#: How long the writing of a file's bytes may take; after that it is what a crash left behind.
UPLOAD_MICROS = 3600 * clock.MICROS
COPY_BYTES = 1024 * 1024

#: How long storage may take for one thing, in seconds; of an upload a second more for so many bytes.
STORAGE_SECONDS = 20.0
LEAST_BYTES_A_SECOND = 1024 * 1024

#: Storage may be slow or away: what waits for it has threads of its own.
_threads = ThreadPoolExecutor(8, thread_name_prefix="files")


async def stored(fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do what blocks on storage; StorageAway, which is a 503, when that fails, or hangs."""
    return await stored_within(STORAGE_SECONDS, fn, *args, **kwargs)


async def stored_within(seconds: float, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The same with a time of its own."""
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().run_in_executor(_threads, lambda: fn(*args, **kwargs))
    except TimeoutError:
        log.error("file storage has not responded within %.0f s", seconds)
        raise StorageAway from None


def wish(fields: Mapping[str, str]) -> int:
    """How many seconds the file of an upload with these fields is to be kept; 400 for fields that are wrong."""
    rest = dict(fields)
    purpose = rest.pop("purpose", None)
    if purpose != PURPOSE:
        given = "is missing" if purpose is None else f"{purpose[:50]!r} is not supported"
        raise InvalidRequest(f"purpose {given}; the only supported purpose is {PURPOSE!r}", param="purpose")
    anchor, seconds = (rest.pop(f"expires_after[{part}]", None) for part in ("anchor", "seconds"))
    if rest:
        unknown = min(rest)[:100]
        raise InvalidRequest(f"{unknown}: unknown field", param=unknown)
    return KEEP_SECONDS if anchor is None and seconds is None else _expiry(anchor, seconds)


def _expiry(anchor: str | None, seconds: str | None) -> int:
    if anchor != "created_at":
        raise InvalidRequest("expires_after[anchor] must be 'created_at'", param="expires_after[anchor]")
    whole = seconds is not None and seconds.isascii() and seconds.isdigit() and len(seconds) < 16
    if not whole or not LEAST_SECONDS <= int(seconds or 0) <= MOST_SECONDS:
        message = f"expires_after[seconds] must be an integer from {LEAST_SECONDS} to {MOST_SECONDS}"
        raise InvalidRequest(message, param="expires_after[seconds]")
    return int(seconds or 0)


def check_room(connection: Connection, account_id: str, bytes: int) -> None:
    """403 when an account may not keep so many bytes more: those of its uploads count, under way or not."""
    most = settings().account_file_bytes
    kept = select(func.coalesce(func.sum(m.files.c.bytes), 0)).where(
        m.files.c.account_id == account_id, m.files.c.purpose == PURPOSE, m.files.c.status != "deleted"
    )
    if most and (has := int(connection.execute(kept).scalar_one())) + bytes > most:
        full = Forbidden(
            f"file storage limit exceeded: {has:,} of {most:,} bytes are used; delete files or ask for a higher limit",
            param="file",
        )
        full.reason = "file_storage_full"
        raise full


def begin(
    connection: Connection, holder: KeyHolder, *, filename: str, purpose: str, expires_at: int, bytes: int = 0
) -> dict[str, Any]:
    """Note that a file's bytes are about to be written to `row["blob"]`; nobody sees it before `finish`. The row.

    `expires_at` (microseconds) is when what was not finished is removed: it finds what a process that died has left.
    `bytes`: as many as are known to come; 403 when the account has no room for them.
    """
    check_room(connection, holder.account_id, bytes)
    id, now = clock.new_id("file"), clock.now_micros()
    row = {
        "id": id,
        "account_id": holder.account_id,
        "test": holder.test,
        "purpose": purpose,
        "filename": filename,
        "bytes": bytes,
        "blob": f"files/{id}",
        "status": "uploading",
        "created_at": now,
        "expires_at": expires_at,
    }
    connection.execute(insert(m.files).values(row))
    return row


def finish(connection: Connection, id: str, bytes: int, sha256: str, *, keep_seconds: int = KEEP_SECONDS) -> None:
    """Show a file whose blob has been written whole, until so long after its creation.

    InternalError when the writing took so long that the file is gone.
    """
    mine = update(m.files).where(m.files.c.id == id, m.files.c.status == "uploading")
    expires_at = m.files.c.created_at + keep_seconds * clock.MICROS
    if not connection.execute(
        mine.values(status="processed", bytes=bytes, sha256=sha256, expires_at=expires_at)
    ).rowcount:
        raise InternalError("the upload took too long and was discarded; upload the file again")


def visible(connection: Connection, holder: KeyHolder, id: str, *, lock: bool = False) -> Mapping[str, Any]:
    """The row of a file that this key may see, NotFound otherwise.

    With `lock` it cannot be deleted before the transaction ends, so that what is written about it then holds.
    """
    statement = _visible(holder).where(m.files.c.id == id)
    row = connection.execute(statement.with_for_update(read=True) if lock else statement).mappings().first()
    if row is None:
        raise NotFound(f"not found: file {id[:100]!r}")
    return dict(row)


def show(connection: Connection, holder: KeyHolder, id: str) -> File:
    """The file object."""
    return objects.file_object(visible(connection, holder, id))


def list_all(connection: Connection, holder: KeyHolder, page: PageQuery, purpose: str | None = None) -> List[File]:
    """A page of the files that this key may see, newest first; of one purpose."""
    statement = _visible(holder)
    if purpose is not None:
        statement = statement.where(m.files.c.purpose == purpose)
    rows = connection.execute(paged(statement, m.files.c.id, page)).mappings()
    return objects.page([objects.file_object(dict(row)) for row in rows], page.limit)


async def keep(
    database: Database,
    holder: KeyHolder,
    claim: Claim | None,
    content: IO[bytes],
    *,
    filename: str,
    bytes: int,
    seconds: int,
) -> tuple[str, bool]:
    """Keep an upload, once: the file object as JSON, and whether an earlier upload of the same claim made it."""
    given_up = clock.now_micros() + UPLOAD_MICROS
    named: dict[str, Any] = {"filename": filename, "purpose": PURPOSE}
    row = await database.write(begin, holder, **named, expires_at=given_up, bytes=bytes)
    try:
        seconds_to_write = STORAGE_SECONDS + bytes / LEAST_BYTES_A_SECOND
        sha256 = await stored_within(seconds_to_write, _copy, content, row["blob"])
        answer, replayed = await run_once(database, claim, _finished, holder, row["id"], bytes, sha256, seconds)
    except Exception:
        await drop(database, row)
        raise
    if replayed:
        await drop(database, row)
    return answer, replayed


async def open_content(database: Database, holder: KeyHolder, id: str) -> tuple[Mapping[str, Any], BinaryIO]:
    """The row of a file and its bytes, open."""
    row = await database.read(visible, holder, id)
    try:
        return row, await stored(blobs.reader, row["blob"])
    except FileNotFoundError:
        raise NotFound(f"file {id[:100]!r} was just deleted") from None


async def remove(database: Database, holder: KeyHolder, id: str) -> DeletedFile:
    """Delete a file: nobody sees it from now on, and its bytes go."""
    row = await audited.change(database, doom, holder, id)
    await erase(database, row)
    return objects.deleted_file(id)


def _visible(holder: KeyHolder) -> Select[Any]:
    files = m.files.c
    lasting = or_(files.expires_at.is_(None), files.expires_at > clock.now_micros())
    mine = select(m.files).where(files.account_id == holder.account_id, files.test == holder.test)
    return mine.where(files.status == "processed", lasting)


def _copy(content: IO[bytes], blob: str) -> str:
    """Write it; its SHA-256."""
    with blobs.writer(blob) as file:
        shutil.copyfileobj(content, file, COPY_BYTES)
    return file.sha256


def _finished(connection: Connection, holder: KeyHolder, id: str, bytes: int, sha256: str, seconds: int) -> File:
    finish(connection, id, bytes, sha256, keep_seconds=seconds)
    return show(connection, holder, id)


def doom(connection: Connection, holder: KeyHolder, id: str) -> Mapping[str, Any]:
    """Mark a file deleted, unless a batch is being read from it; the lock comes first, so that none begins."""
    locked = select(m.files.c.id).where(m.files.c.id == id).with_for_update()
    connection.execute(locked)
    row = visible(connection, holder, id)
    reading = select(m.batches.c.id).where(text(BEING_READ))
    batch = connection.execute(reading.where(m.batches.c.input_file_id == id).limit(1)).scalar()
    if batch is not None:
        raise Conflict(f"file {id} is being read by batch {batch}; delete it once the batch is in progress")
    connection.execute(_deleted(id))
    return row


async def drop(database: Database, row: Mapping[str, Any]) -> None:
    """Remove an upload that did not become a file. One whose COMMIT broke may have: it is left as it is."""

    def doom(connection: Connection) -> bool:
        return connection.execute(_deleted(row["id"]).where(m.files.c.status == "uploading")).rowcount > 0

    try:
        dropped = await database.write(doom)
    except Exception as error:
        log.warning("could not remove upload %s, retention will remove it: %s", row["id"], type(error).__name__)
    else:
        if dropped:
            await erase(database, row)


async def erase(database: Database, row: Mapping[str, Any]) -> None:
    """Remove the bytes, then the row, of a file that is marked deleted; what fails is left to retention."""

    def forget(connection: Connection) -> int:
        gone = (m.files.c.id == row["id"], m.files.c.status == "deleted")
        if row["purpose"] == MADE_BY_BATCHES:  # its batch names it
            return connection.execute(update(m.files).where(*gone).values(expires_at=None)).rowcount
        return connection.execute(delete(m.files).where(*gone)).rowcount

    try:
        await stored(blobs.delete, row["blob"])
        await database.write(forget)
    except Exception as error:
        log.warning("could not remove file %s, retention will remove it: %s", row["id"], type(error).__name__)


def _deleted(id: str) -> Any:
    return update(m.files).where(m.files.c.id == id).values(status="deleted", expires_at=clock.now_micros())
