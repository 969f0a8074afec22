"""OpenAI's file object, made from a file's row. Pure."""

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict

from shared.clock import MICROS, seconds
from shared.objects.fields import Count, Time


class File(TypedDict):
    """OpenAI's file object."""

    id: str
    object: Literal["file"]
    bytes: Count
    created_at: Time
    expires_at: Time | None
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"]
    status_details: str | None


class DeletedFile(TypedDict):
    """A deleted file."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


def file_object(row: Mapping[str, Any]) -> File:
    """A file from its row."""
    return {
        "id": row["id"],
        "object": "file",
        "bytes": row["bytes"],
        "created_at": row["created_at"] // MICROS,
        "expires_at": seconds(row["expires_at"]),
        "filename": row["filename"],
        "purpose": row["purpose"],
        "status": row["status"],
        "status_details": None,
    }


def deleted_file(id: str) -> DeletedFile:
    """What is said of a file that has just been deleted."""
    return {"id": id, "object": "file", "deleted": True}
