"""Routes of files: uploaded for batches, and made by them."""

import re
from collections.abc import AsyncIterator
from typing import BinaryIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from producer import objects
from producer.admission.idempotency import KEEP_BATCH_SECONDS
from producer.operations import files
from producer.web.request import answer, claim_of, enter, page_of, replayable
from producer.web.router import Router
from producer.web.rows import PAGE, Answer, Row, binary, one, query
from producer.web.uploads import declared_bytes, read_upload
from shared.db.models.batches import MADE_BY_BATCHES
from shared.errors import Conflict, Forbidden, NotFound

router = Router()

#: Bytes read and sent in one go.
CHUNK_BYTES = 256 * 1024


@router.post(
    "/files",
    doc=Row(
        "Files",
        one("The file, which is now stored durably.", objects.File),
        "FileUpload",
        "multipart/form-data",
        errors=(Forbidden,),
        once=True,
    ),
)
async def create_file(request: Request) -> Response:
    """Upload a file as multipart/form-data, with `file`, `purpose` and optionally `expires_after`."""
    context, holder = await enter(request)
    await context.database.read(files.check_room, holder.account_id, declared_bytes(request))
    upload = await read_upload(request)
    try:
        seconds = files.wish(upload.fields)
        meant = {**upload.fields, "filename": upload.filename, "sha256": upload.digest.hexdigest()}
        claim = claim_of(request, holder, meant, keep_seconds=KEEP_BATCH_SECONDS)
        kept = files.keep(
            context.database,
            holder,
            claim,
            upload.content,
            filename=upload.filename,
            bytes=upload.bytes,
            seconds=seconds,
        )
        return replayable(*await kept)
    finally:
        upload.close()


@router.get(
    "/files",
    doc=Row(
        "Files",
        one("A page of files.", objects.List[objects.File]),
        parameters=(
            *PAGE,
            query("purpose", {"type": "string"}, "Only files with this purpose: `batch` or `batch_output`."),
        ),
    ),
)
async def list_files(request: Request) -> Response:
    """List files, newest first."""
    context, holder = await enter(request)
    page, rest = page_of(request, "purpose")
    return answer(await context.database.read(files.list_all, holder, page, rest.get("purpose")))


@router.get("/files/{id}", doc=Row("Files", one("The file.", objects.File), errors=(NotFound,)))
async def show_file(request: Request, id: str) -> Response:
    """Get a file's metadata."""
    context, holder = await enter(request)
    return answer(await context.database.read(files.show, holder, id))


@router.get(
    "/files/{id}/content",
    doc=Row(
        "Files",
        {
            200: Answer(
                "The contents of the file.",
                binary("application/octet-stream", "application/jsonl"),
                ("Content-Disposition",),
            )
        },
        errors=(NotFound,),
    ),
)
async def read_file(request: Request, id: str) -> Response:
    """Download the contents of a file."""
    context, holder = await enter(request)
    row, content = await files.open_content(context.database, holder, id)
    try:
        first = await files.stored(content.read, CHUNK_BYTES)  # while a 503 can still be said
    except BaseException:
        content.close()
        raise
    headers = {
        "Content-Length": str(row["bytes"]),
        "Content-Disposition": disposition(row["filename"]),
        "X-Content-Type-Options": "nosniff",
    }
    made = row["purpose"] == MADE_BY_BATCHES  # what was uploaded may be anything
    kind = "application/jsonl" if made else "application/octet-stream"
    return StreamingResponse(_chunks(first, content), headers=headers, media_type=kind)


@router.delete(
    "/files/{id}",
    doc=Row("Files", one("The file was deleted.", objects.DeletedFile), errors=(NotFound, Conflict)),
)
async def delete_file(request: Request, id: str) -> Response:
    """Delete a file, unless a batch is still reading it."""
    context, holder = await enter(request)
    return answer(await files.remove(context.database, holder, id))


def disposition(filename: str) -> str:
    """A Content-Disposition that no filename breaks: plain for old clients, exact for the others (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


async def _chunks(first: bytes, content: BinaryIO) -> AsyncIterator[bytes]:
    with content:
        yield first
        while chunk := await files.stored(content.read, CHUNK_BYTES):
            yield chunk
