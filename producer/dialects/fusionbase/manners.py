"""How Fusionbase refuses and dresses answers: flat errors, and ids of 32 hexadecimal characters."""

import hashlib
from functools import partial
from typing import Any

import orjson

from producer.web.chunk_events import ChunkEvents
from producer.web.dialect import BrokenStream, Refusal
from shared.errors import FusionError
from shared.submissions.job_types import JobType


def refuse(error: FusionError, request_id: str) -> Refusal:
    """`{"message", "type", "status"}`, and beside them what else is known."""
    return Refusal(_shown(error, request_id))


def dress(type: JobType, result: str) -> str:
    """The same with an id of the documented form, and `logprobs` in each choice."""
    made = orjson.loads(result)
    for choice in made["choices"]:
        choice.setdefault("logprobs", None)
    return orjson.dumps({**made, "id": hashed_id(made["id"])}).decode()


def hashed_id(id: str) -> str:
    """The same 32 characters for the same answer, streamed or not.

    >>> hashed_id("chatcmpl-1")
    'f849bb005b014ec6d20a3bcfdae008cb'
    """
    return hashlib.blake2s(id.encode(), digest_size=16).hexdigest()


def _chunk(chunk: bytes) -> bytes:
    made = orjson.loads(chunk)
    return orjson.dumps({**made, "id": hashed_id(made["id"])})


def _shown(error: FusionError, request_id: str) -> dict[str, Any]:
    shown = error.as_json(request_id)
    return {"status": shown.pop("code"), **shown}


def _broken(fault: BrokenStream) -> dict[str, Any]:
    return _shown(fault.error, fault.request_id) | fault.place


#: A stream's framing.
framing = partial(ChunkEvents, _broken, _chunk)
