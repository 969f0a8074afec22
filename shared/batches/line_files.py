"""Recognizes a JSONL file in the forms that programs write, and cuts it into lines. Pure.

Lines end in LF, CRLF, or a lone CR as on old Macs; any of them may be blank, or begin with a byte order mark, as when
files are put together. What is not UTF-8 is one fault, however many lines it is about; so is what is no text at all.
"""

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from shared.objects.batches import Fault

_BOM: Final = b"\xef\xbb\xbf"
#: Blank in any encoding.
_BLANK: Final = b"\x00\r\n\t "
_UTF8: Final = "save it as UTF-8 (PowerShell: -Encoding utf8; editors: Save as, UTF-8)"
#: How files begin that are no text, longest first where one begins with another; what they are, and what to do.
_OTHERS: Final = (
    (b"\x1f\x8b", "a gzip file", "unpack it (gunzip)"),
    (b"BZh", "a bzip2 file", "unpack it (bunzip2)"),
    (b"\xfd7zXZ\x00", "an xz file", "unpack it (unxz)"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it (unzstd)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"PK\x03\x04", "a zip archive", "unpack it (unzip)"),
    (b"PK\x05\x06", "an empty zip archive", "choose another file"),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an Office document, such as an Excel workbook (.xls)",
        "export its rows",
    ),
    (b"PAR1", "a Parquet file", "export its rows"),
    (b"ARROW1", "an Arrow file", "export its rows"),
    (b"Obj\x01", "an Avro file", "export its rows"),
    (b"SQLite format 3", "an SQLite database", "export its rows"),
    (b"%PDF-", "a PDF", "export its text"),
    (b"{\\rtf", "rich text (RTF)", "save it as plain text (TextEdit: Format, Make Plain Text)"),
)
#: Parts of the archives that Office documents are.
_OFFICE: Final = (b"[Content_Types].xml", b"_rels/", b"xl/", b"docProps/")
_AS_JSONL: Final = "as JSON Lines (one JSON object per line)"
#: A JSON array of objects, whether it goes on on the next line or not.
_ARRAY: Final = re.compile(rb"\[\s*(?:\{|$)")


class FaultError(Exception):
    """One thing that is wrong with a file; `line` is counted from 1, None: it is about the whole."""

    def __init__(self, code: str, message: str, param: str | None = None, line: int | None = None) -> None:
        super().__init__(code, message, param, line)
        self.code, self.message, self.param, self.line = code, message, param, line
        #: It holds of other lines as well, and is told of the first alone.
        self.once = False

    def as_json(self) -> Fault:
        """As OpenAI's batch object lists it."""
        return {"code": self.code, "line": self.line, "message": self.message, "param": self.param}


def cut(source: BinaryIO, most: int) -> Iterator[bytes]:
    """A file's lines, each with its end; one that has more than `most` bytes is not whole.

    FaultError when the file as a whole is something else.
    """
    return lines(_raws(source, most))


def lines(raws: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of what has been cut at LF."""
    begun = False
    for raw in raws:
        if not begun and raw.strip(_BLANK):
            _check_text(raw)
        for line in raw.splitlines(keepends=True) if raw.find(b"\r", 0, -2) >= 0 else (raw,):
            bare = line.removeprefix(_BOM)
            if not begun and (begun := bool(bare.strip(_BLANK))):
                _check_lines(bare.strip())
            yield bare if begun else b"\n"


def decoded(raw: bytes) -> str:
    """A line's text; a FaultError that is told once, with the byte, when it is not UTF-8."""
    if b"\x00" in raw[:16] and (encoding := _encoding(raw)):  # as when PowerShell's >> goes on with a file
        raise _once(f"line is encoded in {encoding}, not UTF-8; {_UTF8}")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        byte = raw[error.start : error.start + 1]
        letter = byte.decode("cp1252", "ignore")
        meant = f", {letter} in Windows-1252" if letter.isprintable() and letter else ""
        where = f"byte {error.start} (0x{byte.hex().upper()}{meant})"
        raise _once(f"line is not valid UTF-8: {where}; the file must be UTF-8: {_UTF8}") from None


def _once(message: str) -> FaultError:
    fault = FaultError("invalid_json_line", message)
    fault.once = True
    return fault


def _raws(source: BinaryIO, most: int) -> Iterator[bytes]:
    """What stands between two LF; of a file that has none, pieces that end in a CR."""
    rest = b""
    while raw := source.readline(most + 1):
        raw, rest = rest + raw, b""
        if len(raw) > most and (end := raw.rfind(b"\r", 0, -1)) >= 0:
            raw, rest = raw[: end + 1], raw[end + 1 :]
        yield raw
    if rest:
        yield rest


def _check_text(raw: bytes) -> None:
    """Refuse what is no text, or in another encoding, by its first bytes."""
    head = raw[:512]
    for magic, what, todo in _OTHERS:
        if head.removeprefix(_BOM).startswith(magic):
            if magic.startswith(b"PK\x03") and any(part in head for part in _OFFICE):
                what, todo = "an Office document, such as an Excel workbook (.xlsx)", "export its rows"
            raise FaultError("invalid_file_format", f"the file is {what}; {todo}, and upload it {_AS_JSONL}")
    if encoding := _encoding(head):
        raise FaultError("invalid_encoding", f"the file is encoded in {encoding}, not UTF-8; {_UTF8}")


def _encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32 by the byte order mark, or by the NULs of the first characters, which are ASCII in JSON."""
    if head.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "UTF-32"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    first = head[:16]
    nuls = first.count(0)
    if not first.strip(_BLANK) or nuls * 4 < len(first):
        return None
    return "UTF-32" if nuls * 5 > len(first) * 3 else "UTF-16"


def _check_lines(first: bytes) -> None:
    """Refuse, by its first line, JSON that is not JSON Lines, and what is neither."""
    if _ARRAY.match(first):
        what, todo = "a JSON array", "; to convert it: jq -c '.[]' FILE"
    elif first == b"{":
        what, todo = "JSON spread over several lines", "; to convert it: jq -c . FILE"
    elif b"{" not in first and b"custom_id" in first:
        what, todo = "a table, such as CSV", ""
    elif first[:1] == b"<":
        what, todo = "HTML or XML", ""
    else:
        return
    raise FaultError("invalid_file_format", f"the file is {what}; upload it {_AS_JSONL}{todo}")
