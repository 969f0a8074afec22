"""Reads responses from the rows of their jobs: to be shown, and to go on from."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Connection, func, select, update

from producer.dialects.responses import history
from producer.operations.pages import owned_by
from shared.db import models as m
from shared.dialects.responses import making
from shared.dialects.responses.making import RESULT, kept
from shared.dialects.responses.requests import Before
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.strict_json import dumps
from shared.submissions import extras
from shared.submissions.schemas import NULLS

#: Responses whose items one input may refer to, and the bytes of their requests: each is read whole.
MOST_REFERRED: Final = 500
MOST_REFERRED_BYTES: Final = 64 * 1024**2
#: An item's id (`shared.dialects.responses.items`, `history`), and in it the core of its response's.
_ITEM: Final = re.compile(r"(?:msg|rs|fco|fc|ig)_([0-9a-f]{1,64})(?:_in[0-9]{1,6})?(?:_[0-9]{1,6})?")
_ROWS = (
    select(
        *(
            m.jobs.c[name]
            for name in ("id", "status", "test", "created_at", "finished_at", "cancel_requested", "answer_options")
        ),
        m.jobs.c.model.label("asked_model"),
        m.job_payloads.c.request,
        m.job_payloads.c.labels,
        m.job_payloads.c.linked_context,
        *(m.job_results.c[name] for name in RESULT),
    )
    .join_from(m.jobs, m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)
    .outerjoin(m.job_results, m.job_results.c.job_id == m.jobs.c.id)
    .where(m.jobs.c.type == "chat.completion")
)


def job_id_of(response_id: str) -> str:
    """The job of a response.

    >>> job_id_of("resp_0f")
    'job_0f'
    """
    return f"job_{response_id.removeprefix('resp_')}"


def response_id_of(job_id: str) -> str:
    """The response that a job is."""
    return f"resp_{job_id.removeprefix('job_')}"


def row_of(connection: Connection, holder: KeyHolder, job_id: str) -> Mapping[str, Any] | None:
    """The row of a chat job that the holder may see; None: there is none."""
    row = connection.execute(_ROWS.where(m.jobs.c.id == job_id, *owned_by(holder))).mappings().first()
    return None if row is None else dict(row)


def existing(connection: Connection, holder: KeyHolder, job_id: str) -> Mapping[str, Any]:
    """The row of a chat job; 404 for none."""
    row = row_of(connection, holder, job_id)
    if row is None:
        raise NotFound(f"not found: job {job_id[:100]!r}")
    return row


def stored(connection: Connection, holder: KeyHolder, response_id: str) -> Mapping[str, Any]:
    """The row of a response; 404 for none, and for one that was made with `store: false`."""
    row = row_of(connection, holder, job_id_of(response_id)) if response_id.startswith("resp_") else None
    if row is None or _is_unstored(row["request"]):
        raise NotFound(f"not found: response {response_id[:100]!r}")
    return row


def _is_unstored(request: str) -> bool:
    """Whether a stored request says `store: false` of its response; one that cannot is not parsed."""
    return '"store":false' in request and kept(request)[1].get("store") is False


def seals(row: Mapping[str, Any]) -> bool:
    """Whether the `encrypted_content` of reasoning was asked for; a request that cannot say so is not parsed."""
    return '"encrypted":true' in row["request"] and making.seals(kept(row["request"])[1])


def in_background(row: Mapping[str, Any]) -> tuple[str, bool]:
    """The job of a response, and whether it has ended; 400 for one that was not made in the background."""
    if not kept(row["request"])[1].get("background"):
        id = response_id_of(row["id"])
        raise InvalidRequest(f"response {id} cannot be cancelled: it was not created with background: true")
    return row["id"], row["finished_at"] is not None


def answered(connection: Connection, holder: KeyHolder, response_id: str) -> Mapping[str, Any]:
    """The row of a response that another goes on from; 400 where there is none, or it has no answer."""
    try:
        row = stored(connection, holder, response_id)
    except NotFound:
        said = f"previous_response_id: response {response_id[:100]!r} not found"
        raise InvalidRequest(said, param="previous_response_id", reason="previous_response_not_found") from None
    if row["status"] != "succeeded" or not row["response"]:
        said = f"previous_response_id: response {response_id!r} is not completed"
        raise InvalidRequest(said, param="previous_response_id")
    return row


def size_of(row: Mapping[str, Any]) -> int:
    """About how many bytes are read when something is made of a row: what was asked and what was answered."""
    return len(row["request"]) + len(row["response"] or "")


def before(response_id: str, row: Mapping[str, Any]) -> Before:
    """The conversation up to a response, of its row."""
    said_last = orjson.loads(row["response"])["choices"][0]["message"]
    answer = {name: value for name, value in said_last.items() if value is not None or name == "content"}
    return Before(response_id, [*asked(row), answer])


def referred(connection: Connection, holder: KeyHolder, ids: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows of the holder's responses that have items with these ids; 400 when they are too many, or too much."""
    cores = sorted({found[1] for id in ids if (found := _ITEM.fullmatch(id))})
    if len(cores) > MOST_REFERRED:
        raise InvalidRequest(f"input: refers to items of more than {MOST_REFERRED} responses", param="input")
    sizes = select(func.sum(func.length(m.job_payloads.c.request)))
    sizes = sizes.join_from(m.jobs, m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)
    sizes = sizes.where(m.jobs.c.id.in_([f"job_{core}" for core in cores]), *owned_by(holder))
    if (connection.execute(sizes).scalar() or 0) > MOST_REFERRED_BYTES:
        said = f"input: the responses whose items it refers to have more than {MOST_REFERRED_BYTES // 1024**2} MB"
        raise InvalidRequest(said, param="input")
    rows = (row_of(connection, holder, f"job_{core}") for core in cores)
    return [row for row in rows if row is not None and not _is_unstored(row["request"])]


def items(rows: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Those of these items that responses have, of their input or output, by id; the others are absent."""
    wanted = set(ids)
    made = (item for row in rows for item in _items(row, row["id"].removeprefix("job_")))
    return {item["id"]: item for item in made if item["id"] in wanted}


def _items(row: Mapping[str, Any], core: str) -> Iterator[Any]:
    yield from making.sent_back(row)
    yield from history.input_items(asked(row), core)


def asked(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a response's request, the conversation before it included, without its instructions."""
    body, echo = making.asked(row)
    return _messages(body)[1 if echo.get("instructions") else 0 :]


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """As they were sent: with what was kept beside them in its place."""
    beside = body.pop(extras.KEY, None) or {}
    for number in body.pop(NULLS, ()):
        body["messages"][number]["content"] = None
    hints = {path: value for path, value in beside.items() if value is not None and path.startswith("messages[")}
    found: list[dict[str, Any]] = extras.put(body, hints)["messages"]
    return found


def forgotten(row: Mapping[str, Any]) -> tuple[str, str]:
    """The job of a response, and its request as that of one that was not to be stored; 409 where it has not ended."""
    if row["finished_at"] is None:
        id = response_id_of(row["id"])
        raise Conflict(f"response {id} is {row['status']}: cancel it, or delete it when it has ended")
    body, echo = kept(row["request"])
    body[extras.KEY] = {**(body.get(extras.KEY) or {}), extras.RESPONSE: {**echo, "store": False}}
    return row["id"], dumps(body)


def forget(connection: Connection, job_id: str, request: str) -> None:
    """Store the request of a response that is over anew; its job stays as long as any."""
    payload = m.job_payloads
    connection.execute(update(payload).where(payload.c.job_id == job_id).values(request=request))
