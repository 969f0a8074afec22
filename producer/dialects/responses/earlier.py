"""What a request goes on from or refers to: a response before it, items of others; read from the rows with its body."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from starlette.requests import Request

from producer.context import Context
from producer.dialects.responses import lookup
from producer.web.body import MOST_BYTES, add_bytes, large
from shared.accounts import KeyHolder
from shared.dialects.responses import requests, turns
from shared.errors import PayloadTooLarge
from shared.submissions.schemas import Submission

#: The field of a body that is looked at before it is read.
_PREVIOUS: Final = "previous_response_id"


async def reader(
    request: Request, context: Context, holder: KeyHolder, body: dict[str, Any]
) -> Callable[[bool], Submission]:
    """What makes the submission of a body, told whether unknown fields are ignored; what is read counts as its bytes.

    400 for what is not there, 413 when body and conversation are too large together.
    """
    before, rows = None, list[Mapping[str, Any]]()
    if isinstance(previous := body.get(_PREVIOUS), str):
        row = await context.database.read(lookup.answered, holder, previous)
        before = partial(lookup.before, previous, row)
        add_bytes(request, lookup.size_of(row))
        if large(request) > MOST_BYTES:
            said = f"{_PREVIOUS}: the conversation is larger than {MOST_BYTES // 1024**2} MB with this input"
            raise PayloadTooLarge(said, param=_PREVIOUS)
    ids = {id for _, id in turns.references(body.get("input"))}
    if ids:
        rows = await context.database.read(lookup.referred, holder, sorted(ids), MOST_BYTES - large(request))
        add_bytes(request, sum(map(lookup.size_of, rows)))
    return partial(_read, body, before, rows, ids)


def _read(
    body: dict[str, Any],
    before: Callable[[], requests.Before] | None,
    rows: Sequence[Mapping[str, Any]],
    ids: set[str],
    ignore_unknown: bool,
) -> Submission:
    stored = lookup.items(rows, ids)
    return requests.read(body, before() if before else None, stored=stored, ignore_unknown=ignore_unknown)
