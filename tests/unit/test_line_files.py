"""Files of lines as Windows, Macs and data tools write them: read as they were meant, or one fault and what to do."""

import gzip
import io
import json
import lzma
import zipfile
from typing import Any

import pytest

from fusionai.plain import job_file
from fusionai.plain.job_file import Line, Problem
from shared.batches import line_files
from shared.batches.line_files import FaultError
from shared.batches.lines import FileReading, Wanted, chunks, read

LINES = [
    {"custom_id": f"line {n}", "method": "POST", "url": "/v1/embeddings",
     "body": {"model": "text-embedding-3-large", "input": f"é\u2028 {n}"}}
    for n in range(4)
]  # fmt: skip
ROWS = [json.dumps(line, ensure_ascii=False) for line in LINES]
TEXT = "\n".join(ROWS) + "\n"
BOM = b"\xef\xbb\xbf"


def at_server(content: bytes) -> FileReading:
    """A file as a batch and a dry run read it."""
    reading = FileReading()
    try:
        for chunk in chunks(io.BytesIO(content)):
            reading.add(read(chunk, Wanted(None, False)))
        reading.end()
    except FaultError as fault:
        reading.faults.append(fault)
    return reading


def at_command(content: bytes) -> tuple[list[Line], list[Problem]]:
    """The same as the command reads it."""
    found = list(job_file.parse(io.BytesIO(content)))
    return [one for one in found if isinstance(one, Line) and one.batch_line], [
        one for one in found if isinstance(one, Problem)
    ]


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(name, TEXT)
    return file.getvalue()


GOOD = {
    "plain": TEXT.encode(),
    "no line end at the end": TEXT.encode().rstrip(),
    "BOM": BOM + TEXT.encode(),
    "CRLF": TEXT.replace("\n", "\r\n").encode(),
    "CR": TEXT.replace("\n", "\r").encode(),
    "CR without one at the end": TEXT.replace("\n", "\r").encode().rstrip(),
    "CRLF and CR and LF": "\r\n".join([ROWS[0], "\r".join(ROWS[1:3]), ROWS[3]]).encode() + b"\n",
    "BOM, CRLF, blank lines": BOM + b"\r\n\r\n" + TEXT.replace("\n", "\r\n\r\n").encode() + b" \t\r\n\n",
    "files put together": b"\n".join(BOM + row.encode() for row in ROWS),
    "blank lines of spaces": TEXT.replace("\n", "\n   \n").encode(),
    "indented lines": b"  " + TEXT.replace("\n", "  \n\t").encode(),
    "a BOM alone on a line": BOM + b"\n" + TEXT.encode(),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_line_is_read(name: str) -> None:
    reading = at_server(GOOD[name])
    assert (reading.total, reading.faults) == (4, [])
    lines, problems = at_command(GOOD[name])
    assert problems == [] and [json.loads(line.batch_line or b"") for line in lines] == LINES


ONE_FAULT: dict[str, tuple[bytes, str, int | None]] = {
    "UTF-16 with BOM": (TEXT.encode("utf-16"), "the file is encoded in UTF-16, not UTF-8; save it as UTF-8", None),
    "UTF-16 LE": (TEXT.encode("utf-16-le"), "the file is encoded in UTF-16, not UTF-8; save it as UTF-8", None),
    "UTF-16 BE": (TEXT.encode("utf-16-be"), "the file is encoded in UTF-16, not UTF-8; save it as UTF-8", None),
    "UTF-16 BE with BOM": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "the file is encoded in UTF-16", None),
    "UTF-16 LE after blank lines": (("\r\n\n" + TEXT).encode("utf-16-le"), "the file is encoded in UTF-16", None),
    "UTF-16 BE after blank lines": (("\r\n\n" + TEXT).encode("utf-16-be"), "the file is encoded in UTF-16", None),
    "UTF-32 with BOM": (TEXT.encode("utf-32"), "the file is encoded in UTF-32, not UTF-8; save it as UTF-8", None),
    "UTF-32 LE": (TEXT.encode("utf-32-le"), "the file is encoded in UTF-32, not UTF-8; save it as UTF-8", None),
    "UTF-32 BE": (TEXT.encode("utf-32-be"), "the file is encoded in UTF-32, not UTF-8; save it as UTF-8", None),
    "UTF-8, then UTF-16": ((ROWS[0] + "\n").encode() + "\n".join(ROWS[1:]).encode("utf-16-le"), "UTF-16, not UTF-8", 2),
    "Windows-1252": (
        "\n".join([json.dumps(LINES[0]), *ROWS[1:]]).replace("\u2028", "").encode("cp1252"),
        "line is not valid UTF-8: byte 121 (0xE9, é in Windows-1252); the file must be UTF-8: save it as",
        2,
    ),
    "gzip": (gzip.compress(TEXT.encode()), "the file is a gzip file; unpack it (gunzip)", None),
    "xz": (lzma.compress(TEXT.encode()), "the file is an xz file; unpack it (unxz)", None),
    "zip": (archive("lines.jsonl"), "the file is a zip archive; unpack it (unzip)", None),
    "xlsx": (archive("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook (.xlsx); export its rows", None),
    "Parquet": (b"PAR1\x15\x04\x15", "a Parquet file; export its rows", None),
    "RTF": (b"{\\rtf1\\ansi\n{}", "rich text (RTF); save it as plain text", None),
    "a JSON array": (
        json.dumps(LINES).encode(),
        "the file is a JSON array; upload it as JSON Lines (one JSON object per line)",
        None,
    ),
    "an indented JSON array": (json.dumps(LINES, indent=2).encode(), "a JSON array; upload it as JSON Lines", None),
    "an array after a BOM and CRLF": (BOM + b"\r\n[\r\n{", "a JSON array; upload it as JSON Lines", None),
    "indented JSON": (
        json.dumps(LINES[0], indent=2).encode(),
        "JSON spread over several lines; upload it as JSON Lines",
        None,
    ),
    "CSV": (b"custom_id,method,url,body\n1,POST,x,y\n", "a table, such as CSV; upload it as JSON Lines", None),
    "a web page": (b"<!DOCTYPE html>\n<html>\n", "HTML or XML; upload it as JSON Lines", None),
}


@pytest.mark.parametrize("name", ONE_FAULT)
def test_what_is_no_such_file_is_one_fault_that_says_what_to_do(name: str) -> None:
    content, said, line = ONE_FAULT[name]
    (fault,) = at_server(content).faults
    assert said in fault.message and fault.line == line
    _, (problem,) = at_command(content)
    assert (problem.number, problem.reason) == (line, fault.message), "the command says the same"


def test_other_faults_are_told_beside_that_of_the_encoding() -> None:
    bad = [b"null", b'"\xe9"', b"[1,2]", b'{"\xe9": 1}', b'"x"']
    content = b"\n".join([ROWS[0].encode(), *bad, ROWS[1].encode()])
    assert [fault.line for fault in at_server(content).faults] == [2, 3, 4, 6]
    assert [problem.number for problem in at_command(content)[1]] == [2, 3, 4, 6]


def test_the_encoding_is_told_once_over_all_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.batches.lines.CHUNK_BYTES", 10)
    assert [fault.line for fault in at_server(b'{"\xe9": 1}\n' * 50).faults] == [1]


def test_a_line_of_an_old_mac_may_be_as_long_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 10
    content = b"\r".join([b"a" * 9, b"b" * 3, b"c" * 9, b"d" * 30])
    found = list(line_files.cut(io.BytesIO(content), most))
    assert [line.rstrip(b"\r") for line in found[:3]] == [b"a" * 9, b"b" * 3, b"c" * 9]
    assert len(found[3]) > most, "one that is too long is told to be"


def test_nothing_at_all_has_no_lines() -> None:
    contents: list[Any] = [b"", BOM, b"\r\r\n \n", BOM + b"\r\n"]
    for content in contents:
        assert [fault.code for fault in at_server(content).faults] == ["empty_file"]
        assert at_command(content) == ([], [])
