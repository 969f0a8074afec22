"""A multipart upload of one file, read as it comes: spooled to disk, never whole in memory, hashed on its way."""

import asyncio
import hashlib
import logging
import tempfile
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from shared.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from shared.submissions import sizes

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

#: Bytes of a file.
MOST_BYTES = sizes.MOST_FILE_BYTES
#: What its envelope may add: the other fields, headers and boundaries.
ENVELOPE_BYTES = 64 * 1024
#: Parts of the body, and bytes of one that is not the file.
MOST_PARTS = 8
FIELD_BYTES = 1024
#: Bytes of a part's headers.
HEADER_BYTES = 8192
#: What no name of a file has: control characters (C1 too) and separators of lines; marks that turn text around, so that
#: a name reads as another.
_CONTROLS = frozenset({"Cc", "Zl", "Zp"})
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Characters of a filename.
MOST_NAME = 255
#: What a file is called that was sent without a name, as some clients do.
NAMELESS = "upload.jsonl"
#: Bytes parsed in one go on a thread, and kept in memory before the disk is used.
PIECE_BYTES = SPOOL_BYTES = 1024 * 1024

#: Not those that wait for storage, which may all hang.
_threads = ThreadPoolExecutor(4, thread_name_prefix="uploads")

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what is wrong with a body is said to its sender


class Upload:
    """What came: the file at its start, its name, size and hash, and the other fields. Close it."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.bytes = 0
        self.content: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_BYTES)
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.bytes += len(data)
        if self.bytes > MOST_BYTES:
            raise _too_large()
        self.digest.update(data)
        self.content.write(data)

    def close(self) -> None:
        self.content.close()


def declared_bytes(request: Request) -> int:
    """How large a body says that it is; 0 when it does not."""
    declared = request.headers.get("content-length", "")
    return int(declared[:20]) if declared.isascii() and declared.isdigit() else 0


async def read_upload(request: Request) -> Upload:
    """The one file, and the fields beside it, that a POST carries; 400, 413 or 415 when it does not."""
    boundary = _boundary(request.headers.get("content-type", ""))
    if declared_bytes(request) > MOST_BYTES + ENVELOPE_BYTES:
        raise _too_large()
    upload = Upload()
    try:
        await _read(request, _Form(boundary, upload))
    except ClientDisconnect:
        upload.close()
        raise InvalidRequest("request body is incomplete") from None
    except BaseException:
        upload.close()
        raise
    return upload


async def _read(request: Request, form: "_Form") -> None:
    piece = bytearray()
    total = 0
    async for chunk in request.stream():
        piece += chunk
        total += len(chunk)
        if total > MOST_BYTES + ENVELOPE_BYTES:
            raise _too_large()
        if len(piece) >= PIECE_BYTES:
            await _on_thread(form.feed, bytes(piece))
            piece.clear()
    await _on_thread(form.feed, bytes(piece))
    await _on_thread(form.end)


async def _on_thread(fn: Callable[..., None], *args: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(_threads, fn, *args)


class _Form:
    """Takes a body apart: pieces in, the upload filled."""

    def __init__(self, boundary: bytes, upload: Upload) -> None:
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._add_header(self._header, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_header(self._value, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": lambda data, start, end: self._take(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        self._upload = upload
        self._parts = 0
        self._over = False
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise _broken(str(error)) from None
        self._begin_part()

    def feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _broken(str(error)) from None

    def end(self) -> None:
        """Say what is missing; without its last boundary, or its file, a body is not whole."""
        if not self._over:
            raise _broken("closing boundary is missing")
        if not self._upload.filename:
            raise InvalidRequest("file is missing: send it in a part named 'file'", param="file")
        if not self._upload.bytes:
            raise InvalidRequest("file is empty", param="file")
        self._upload.content.seek(0)

    def _begin_part(self) -> None:
        self._header, self._value, self._text = bytearray(), bytearray(), bytearray()
        self._header_bytes = 0
        self._disposition = b""
        self._name = ""
        self._take: Callable[[bytes], None] = self._add_text

    def _add_header(self, part: bytearray, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._header_bytes > HEADER_BYTES:
            raise _broken(f"the headers of a part are larger than {HEADER_BYTES:,} bytes")
        part.extend(data)

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _broken(f"more than {MOST_PARTS} parts")
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise _broken(f"the Content-Disposition of part {self._parts} has no name")
        self._name = _text(options[b"name"], "the name of a part", None)
        if b"filename" in options:
            self._begin_file(_text(options[b"filename"], "the filename", "file"))
        elif self._name == "file":
            self._begin_file(NAMELESS)

    def _begin_file(self, filename: str) -> None:
        if self._name != "file":
            raise InvalidRequest(
                f"{self._name[:100]}: unexpected file; only the part named 'file' can be a file", param=self._name[:100]
            )
        if self._upload.filename:
            raise InvalidRequest("duplicate part 'file': an upload has exactly one file", param="file")
        if not 0 < len(filename) <= MOST_NAME:
            raise InvalidRequest(f"filename must be 1 to {MOST_NAME} characters long", param="file")
        if any(unicodedata.category(one) in _CONTROLS or one in _TURNS for one in filename):
            raise InvalidRequest("filename contains a control character", param="file")
        self._upload.filename = filename
        self._take = self._upload.write

    def _add_text(self, data: bytes) -> None:
        self._text += data
        if len(self._text) > FIELD_BYTES:
            raise InvalidRequest(f"{self._name[:100]} is longer than {FIELD_BYTES} bytes", param=self._name[:100])

    def _end_part(self) -> None:
        if self._take == self._add_text:
            if self._name in self._upload.fields:
                raise InvalidRequest(f"duplicate field {self._name[:100]!r}", param=self._name[:100])
            self._upload.fields[self._name] = _text(self._text, self._name[:100], self._name[:100])

    def _end(self) -> None:
        self._over = True


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        shown = kind.decode("latin-1")[:100]
        raise UnsupportedMediaType(f"unsupported Content-Type {shown!r}: must be multipart/form-data")
    if not options.get(b"boundary"):
        raise _broken("the Content-Type has no boundary")
    return options[b"boundary"]


def _text(raw: bytes | bytearray, what: str, param: str | None) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{what} is not valid UTF-8", param=param) from None
    if "\x00" in text:
        raise InvalidRequest(f"{what} contains a NUL character", param=param)
    return text


def _broken(why: str) -> InvalidRequest:
    return InvalidRequest(f"request body is not valid multipart/form-data: {why}")


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"file is larger than {MOST_BYTES // (1024 * 1024)} MB", param="file")
