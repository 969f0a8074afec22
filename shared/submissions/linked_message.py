"""Puts what is known of a chat's entities before its messages (`shared.submissions.preface`). Pure."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import orjson

from shared.errors import FusionError, InvalidRequest
from shared.submissions import linked_context, preface
from shared.submissions.linked_context import Entity, Key
from shared.submissions.schemas import Submission

#: How the message begins.
HEAD: Final = "What is known about the entities that this conversation is about:"
#: Bytes of a token, as a rule: entities that take more tokens than the model reads are refused.
BYTES_PER_TOKEN: Final = 4


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
    text = preface.BREAK.join([HEAD, *entities])
    add = preface.extended if submission.options.language else preface.put
    request = add(submission.request, text)
    sizes = tuple(len(text.encode()) for text in entities)
    return replace(submission, request=request, json=orjson.dumps(request), linked_bytes=sizes)


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
        if submission.linked_bytes or submission.options.language:
            error.message = preface.as_sent(error.message)
            error.param = preface.as_sent(error.param) if error.param else error.param
        raise
