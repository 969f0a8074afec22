"""The results of a message batch: a line for each request, made of the files of the batch.

Source: platform.claude.com/docs/en/api/messages/batches/results (`custom_id`, and `result` of a type). A batch that was
never read, because it was refused or stopped before, has no files: its requests are named by those that were sent.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final, Literal, NotRequired

import orjson
from sqlalchemy import Connection
from typing_extensions import TypedDict

from producer.dialects.messages import batch_making
from producer.dialects.messages.batch_objects import end_of
from producer.operations import files
from shared.batches import json_lines
from shared.db import Database
from shared.dialects.messages import answers, errors
from shared.dialects.messages.answers import MessageObject
from shared.errors import NotFound
from shared.files import blobs
from shared.key_holders import KeyHolder

#: Bytes of lines that are dressed at once.
_CHUNK_BYTES: Final = 256 * 1024
#: How a line ended that has no answer, by the code of its error.
_WITHOUT_ANSWER: Final[Mapping[str, Literal["canceled", "expired"]]] = {
    "batch_cancelled": "canceled",
    "batch_expired": "expired",
}
_BILLING: Final = "insufficient_credits"


class MessageBatchResult(TypedDict):
    """What came of a request: its message, or the error."""

    type: Literal["succeeded", "errored", "canceled", "expired"]
    message: NotRequired[MessageObject]
    error: NotRequired[dict[str, Any]]


class MessageBatchLine(TypedDict):
    """A line of the results."""

    custom_id: str
    result: MessageBatchResult


Dress = Callable[[bytes, int], MessageBatchLine]


def kept(connection: Connection, holder: KeyHolder, row: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """The blobs that results are made of, and whether each is the batch's input; NotFound when one is gone."""
    made = [row[name] for name in ("output_file_id", "error_file_id") if row[name] is not None]
    if row["total"]:
        return [(files.visible(connection, holder, id)["blob"], False) for id in made]
    return [(files.visible(connection, holder, row["input_file_id"])["blob"], True)]


async def stream(database: Database, holder: KeyHolder, row: Mapping[str, Any]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first bytes of the results, while an error can still be answered, and the rest of them."""
    try:
        pieces = _pieces(row, await database.read(kept, holder, row))
        return await files.stored(next, pieces, b""), _rest(pieces)
    except (NotFound, FileNotFoundError):
        raise NotFound("the results of this message batch are no longer kept") from None


async def _rest(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await files.stored(next, pieces, b""):
        yield piece


def _pieces(row: Mapping[str, Any], sources: list[tuple[str, bool]]) -> Iterator[bytes]:
    for blob, is_input in sources:
        with blobs.reader(blob) as file:
            yield from _dressed(file, _unread(row) if is_input else _of_output)


def _dressed(file: BinaryIO, dress: Dress) -> Iterator[bytes]:
    number = 0
    while lines := file.readlines(_CHUNK_BYTES):
        yield b"".join(json_lines.line(dress(line, number + at)) for at, line in enumerate(lines))
        number += len(lines)


def _of_output(line: bytes, number: int) -> MessageBatchLine:
    """A line of an output or error file."""
    row = orjson.loads(line)
    return {"custom_id": row["custom_id"], "result": _result(row["response"], row["error"])}


def _result(response: Mapping[str, Any] | None, error: Mapping[str, Any] | None) -> MessageBatchResult:
    if response is None:
        return {"type": _WITHOUT_ANSWER[(error or {})["code"]]}
    body = response["body"]
    if response["status_code"] != 200:
        return {"type": "errored", "error": body}
    if body.get("object") == "chat.completion":  # its request was no longer kept when the file was made
        body = answers.message(body)
    return {"type": "succeeded", "message": body}


def _unread(row: Mapping[str, Any]) -> Dress:
    """How to dress the requests of a batch that was never read."""
    faults = orjson.loads(row["errors"] or b"[]")
    by_line = {fault["line"]: fault for fault in faults}
    end = end_of(row)

    def dress(line: bytes, number: int) -> MessageBatchLine:
        custom_id = orjson.loads(line)["custom_id"]
        if end != "errored":
            return {"custom_id": custom_id, "result": {"type": end or "canceled"}}  # type: ignore[typeddict-item]
        fault = by_line.get(number + 1) or by_line.get(None)
        message = batch_making.as_sent(fault or faults[0])[1]
        if fault is None:
            message = f"not processed, because another request of the batch is invalid: {message}"
        status = 402 if fault is not None and fault["code"] == _BILLING else 400
        error = errors.body({"code": status, "message": message}, row["id"])
        return {"custom_id": custom_id, "result": {"type": "errored", "error": error}}

    return dress
