"""Puts what is known of a chat's entities before its messages, as one system message; and takes it away again. Pure.

It is part of the stored request, so it is priced, held for and sent as the rest is. What names messages by number
(hints beside them, what a model lacks) moves by one; callers are told the numbers that they sent.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import orjson

from shared.errors import FusionError, InvalidRequest
from shared.submissions import extras, linked_context
from shared.submissions.linked_context import Entity, Key
from shared.submissions.schemas import NULLS, Submission

#: How the message begins.
HEAD: Final = "What is known about the entities that this conversation is about:"
#: Bytes of a token, as a rule: entities that take more tokens than the model reads are refused.
BYTES_PER_TOKEN: Final = 4
_TURN: Final = re.compile(r"\bmessages\[([0-9]{1,6})\]")


def with_entities(submission: Submission, known: Mapping[Key, Entity], *, at: str = "") -> Submission:
    """The submission with its entities before its messages; 400 names a reference that means none."""
    entities, size = [], 0
    for number, named in enumerate(submission.linked):
        if (entity := known.get(named.key)) is None:
            where = f"{at}{linked_context.FIELD}[{number}].id"
            raise InvalidRequest(f"{where}: unknown entity {named.type} {named.id[:100]!r}", param=where)
        entities.append(linked_context.shown(entity))
        size += len(entities[-1].encode())
        if size > linked_context.MOST_CHAT_BYTES:
            where, most = f"{at}{linked_context.FIELD}[{number}]", linked_context.MOST_CHAT_BYTES
            raise InvalidRequest(f"{where}: the entities up to this one have more than {most:,} bytes", param=where)
    if not entities:
        return submission
    request = {**submission.request, "messages": [_message(entities), *submission.request["messages"]]}
    _move(request, +1)
    sizes = tuple(len(text.encode()) for text in entities)
    return replace(submission, request=request, json=orjson.dumps(request), linked_bytes=sizes)


def without_entities(request: Mapping[str, Any]) -> dict[str, Any]:
    """A stored request as it was before."""
    bare = {**request, "messages": request["messages"][1:]}
    _move(bare, -1)
    return bare


def check_fits(sizes: Sequence[int], context: int, model: str, at: str) -> None:
    """400 when what is known of the entities is more than the model reads, whatever the messages are; names the one."""
    taken = 0
    for number, size in enumerate(sizes):
        taken += size
        if context and taken > context * BYTES_PER_TOKEN:
            where = f"{at}{linked_context.FIELD}[{number}]"
            raise InvalidRequest(
                f"{where}: the entities up to this one take about {taken // BYTES_PER_TOKEN:,} tokens, "
                f"more than the context of {context:,} tokens of {model}",
                param=where,
            )


@contextmanager
def numbered_as_sent(submission: Submission) -> Iterator[None]:
    """Refusals within number the messages as the caller does."""
    try:
        yield
    except FusionError as error:
        if submission.linked_bytes:
            error.message = as_sent(error.message)
            error.param = as_sent(error.param) if error.param else error.param
        raise


def as_sent(place: str) -> str:
    """A text with the numbers of messages as they were sent.

    >>> as_sent("messages[3].cache_control")
    'messages[2].cache_control'
    """
    return _moved(place, -1)


def _message(entities: Sequence[str]) -> dict[str, Any]:
    return {"role": "system", "content": "\n\n".join([HEAD, *entities])}


def _move(request: dict[str, Any], by: int) -> None:
    if beside := request.get(extras.KEY):
        request[extras.KEY] = {_moved(path, by): value for path, value in beside.items()}
    if nulls := request.get(NULLS):
        request[NULLS] = [number + by for number in nulls]


def _moved(text: str, by: int) -> str:
    number: Callable[[re.Match[str]], str] = lambda found: f"messages[{max(0, int(found[1]) + by)}]"  # noqa: E731
    return _TURN.sub(number, text)
