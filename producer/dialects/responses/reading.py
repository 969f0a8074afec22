"""What a body of the Responses API asks for, with the responses that it goes on from and refers to."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import orjson
from starlette.requests import Request

from producer.context import Context
from producer.dialects.responses import lookup
from producer.web.body import MOST_BYTES, add_bytes, large
from shared.dialects.responses import requests, turns
from shared.errors import PayloadTooLarge, RequestRefused
from shared.key_holders import KeyHolder
from shared.submissions.schemas import Submission

#: Items of earlier responses, by id.
Stored: TypeAlias = Mapping[str, dict[str, Any]]

#: The field of a body that is looked at before it is read.
_PREVIOUS = "previous_response_id"


@dataclass(slots=True)
class ResponseReader:
    """Makes the submission of a body, told whether unknown fields are ignored; on a thread where it is large."""

    body: dict[str, Any]
    before: Callable[[], requests.Before] | None
    stored: Callable[[], Stored]
    #: Where in the body each of the messages stood, once it is read.
    places: Sequence[str] = ()

    def __call__(self, ignore_unknown: bool) -> Submission:
        before = self.before() if self.before else None
        read = requests.read_with_places(self.body, before, self.stored(), ignore_unknown=ignore_unknown)
        submission, self.places = read
        return submission

    def renamed(self, error: RequestRefused) -> RequestRefused:
        """What is wrong with the submission, by its place in the body."""
        return requests.renamed(error, self.places)


async def reader(request: Request, context: Context, holder: KeyHolder, body: dict[str, Any]) -> ResponseReader:
    """What reads a body, with all that it goes on from and refers to.

    413 when it is too large with all that it goes on from and refers to; 400 when there is no such response.
    """
    before, stored = await _before(request, context, holder, body), await _referred(request, context, holder, body)
    if large(request) > MOST_BYTES:
        place = _PREVIOUS if before else "input"
        said = f"{place}: the conversation is larger than {MOST_BYTES // 1024**2} MB with this input"
        raise PayloadTooLarge(said, param=place)
    return ResponseReader(body, before, stored)


async def _before(
    request: Request, context: Context, holder: KeyHolder, body: Mapping[str, Any]
) -> Callable[[], requests.Before] | None:
    """Reads the conversation that a body goes on from, where it names one; its bytes count as the request's."""
    if not isinstance(previous := body.get(_PREVIOUS), str):
        return None
    row = await context.database.read(lookup.answered, holder, previous)
    add_bytes(request, lookup.size_of(row))
    return partial(lookup.before, previous, row)


async def _referred(
    request: Request, context: Context, holder: KeyHolder, body: Mapping[str, Any]
) -> Callable[[], Stored]:
    """Reads the items that a body refers to, likewise."""
    if not (named := turns.references(body.get("input"))):
        return dict
    ids = [id for _, id in named]
    rows = await context.database.read(lookup.referred, holder, ids)
    add_bytes(request, sum(map(lookup.size_of, rows)))
    return partial(_items, rows, ids)


def _items(rows: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> Stored:
    """The items referred to; 413 when they are too large, each as often as it is referred to."""
    found = lookup.items(rows, ids)
    size = sum(len(orjson.dumps(found[id])) * times for id, times in Counter(ids).items() if id in found)
    if size > MOST_BYTES:
        said = f"input: the items that it refers to have more than {MOST_BYTES // 1024**2} MB together"
        raise PayloadTooLarge(said, param="input")
    return found
