"""Forms that browsers send to the console, read in bounds: how many bytes and fields, and whether there is a file."""

from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.types import Message

from producer.web.uploads import ENVELOPE_BYTES, declared_bytes
from shared.errors import InvalidRequest, PayloadTooLarge
from shared.submissions.sizes import MOST_FILE_BYTES

#: Bytes of a form without a file; of one with nothing but a key or a token; of one with a file.
FORM_BYTES: Final = 4 * 1024 * 1024
SMALL_BYTES: Final = 16 * 1024
FILE_BYTES: Final = MOST_FILE_BYTES + ENVELOPE_BYTES
#: Fields of a form; of one with nothing but a key, a token, or a file and its token.
_FIELDS, _FEW_FIELDS = 200, 10


async def read(request: Request) -> FormData:
    """A page's form; PayloadTooLarge: it is larger than any form of ours."""
    return await _read(request, FORM_BYTES, fields=_FIELDS)


async def read_small(request: Request) -> FormData:
    """The form of somebody who signs in or out."""
    return await _read(request, SMALL_BYTES, fields=_FEW_FIELDS)


async def read_with_file(request: Request) -> FormData:
    """A form with one file, which is kept on disk meanwhile. Close it."""
    return await _read(request, FILE_BYTES, fields=_FEW_FIELDS, files=1)


async def _read(request: Request, most_bytes: int, *, fields: int, files: int = 0) -> FormData:
    read = 0

    async def receive() -> Message:
        nonlocal read
        message = await request.receive()
        read += len(message.get("body", b""))
        if read > most_bytes:
            raise _too_large(most_bytes)
        return message

    if declared_bytes(request) > most_bytes:
        raise _too_large(most_bytes)
    form = await Request(request.scope, receive).form(max_files=files, max_fields=fields)
    if any("\x00" in text for pair in form.multi_items() for text in pair if isinstance(text, str)):
        raise InvalidRequest("a field contains a NUL character, which no database takes; nothing was changed")
    return form


def _too_large(most_bytes: int) -> PayloadTooLarge:
    shown = f"{most_bytes // 1024**2:,} MB" if most_bytes >= 1024**2 else f"{most_bytes // 1024} KB"
    return PayloadTooLarge(f"the form is larger than {shown}; nothing was changed")
