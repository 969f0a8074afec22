"""A file that came in a form of the console, sent on to POST /v1/files piece by piece."""

import secrets
import shlex
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import UploadFile

from producer.console.api import Call

#: Bytes that are read and handed on in one go.
_PIECE_BYTES: Final = 256 * 1024
#: What the name of a file must not have as it is in a multipart body (WHATWG: "Multipart form data").
_ESCAPES: Final = {'"': "%22", "\r": "%0D", "\n": "%0A"}


class FormUpload:
    """A file and the call that keeps it, whose body `pieces` is. `once`: the idempotency key."""

    def __init__(self, file: UploadFile, once: str) -> None:
        self._file = file
        boundary = secrets.token_hex(16)
        name = "".join(_ESCAPES.get(one, one) for one in file.filename or "")
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + (file.size or 0) + len(self._tail)),
        }
        self.call = Call("POST", "/v1/files", headers=headers | ({"Idempotency-Key": once} if once else {}))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body."""
        yield self._head
        while piece := await self._file.read(_PIECE_BYTES):
            yield piece
        yield self._tail


@dataclass(frozen=True, slots=True)
class AsCommands:
    """The upload of a file, and a call that names it, as commands."""

    filename: str
    call: Call

    def as_curl(self, base_url: str) -> str:
        """Both, as `curl` takes them; the key is in a variable of the shell."""
        upload = " \\\n  ".join(
            (
                f"curl {shlex.quote(base_url + '/v1/files')}",
                '-H "Authorization: Bearer $FUSIONAI_API_KEY"',
                "-F purpose=batch",
                f"-F {shlex.quote(_as_form(self.filename))}",
            )
        )
        return f"{upload}\n\n{self.call.as_curl(base_url)}"


def _as_form(filename: str) -> str:
    """A part of curl's -F: in quotes where the name has what curl takes for its own (`;`, `,`, `"`)."""
    if not set(filename) & set(';,"\\'):
        return f"file=@{filename}"
    escaped = filename.replace("\\", "\\\\").replace('"', '\\"')
    return f'file=@"{escaped}"'
