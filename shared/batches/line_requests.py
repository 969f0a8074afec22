"""Renders the request of a batch line again from what is stored of its job, so that it can be sent again.

The body is the request as it was read: hints stand in their places again, fields that nothing is made of are left out.
That of a line in a dialect's own form is the one that was sent.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import orjson
from sqlalchemy import ColumnElement, Table, func

from shared.dialects import LINE_FORMATS
from shared.objects.batches import LineRequest
from shared.strict_json import dumps
from shared.submissions import answer_options, extras, linked_context, preface
from shared.submissions.job_types import URLS
from shared.submissions.rows import PricedSubmission
from shared.submissions.schemas import NULLS, UNASKED

#: What a body has beside the request that providers are sent: the name there, and the column that keeps it as JSON,
#: which `PricedSubmission` has as well.
BESIDE: Final = {"metadata": "labels", "routing": "routing", linked_context.FIELD: "linked_context"}
#: The columns of a job's payload that `of_row` needs.
COLUMNS: Final = ("request", "offers", "sent", *BESIDE.values())
#: The column of its row that keeps more of what stood in its body, each field by its name.
OPTIONS: Final = "answer_options"


def length_of(payloads: Table) -> ColumnElement[int]:
    """How long what is read of a payload is: the request, and the body as it was sent, which may be the longer one."""
    return func.coalesce(func.length(payloads.c.request), 0) + func.coalesce(func.length(payloads.c.sent), 0)


def of_row(row: Mapping[str, Any]) -> LineRequest | None:
    """What was asked for by a job's `type`, `dialect`, `model`, OPTIONS, COLUMNS; None when its payload is gone."""
    if row["request"] is None:
        return None
    return _as_it_was(row["dialect"], row["sent"]) or _asked(
        row["type"],
        _model(row["model"], row["offers"]),
        row["request"],
        {name: row[kept] for name, kept in BESIDE.items()},
        row[OPTIONS],
    )


def of_plan(line: PricedSubmission) -> LineRequest:
    """The same of a line that never became a job."""
    return _as_it_was(line.dialect, line.sent) or _asked(
        line.type,
        _model(line.model, line.offers),
        line.request,
        {name: getattr(line, kept) for name, kept in BESIDE.items()},
        line.answer_options,
    )


def _as_it_was(dialect: str | None, sent: str | None) -> LineRequest | None:
    """That of a line in a dialect's own form; None: it is in the native one."""
    format = LINE_FORMATS.get(dialect or "")
    if format is None or sent is None:
        return None
    return {"method": "POST", "url": format.url, "body": cast(Any, orjson.Fragment(sent))}


def _as_sent(request: str) -> str:
    """A stored request without our own marks; what was kept beside it stands where it stood."""
    body = orjson.loads(request)
    beside = body.pop(extras.KEY, None) or {}
    beside.pop(extras.RESPONSE, None)
    for name in body.pop(UNASKED, ()):
        body.pop(name, None)
    for number in body.pop(NULLS, ()):
        body["messages"][number]["content"] = None
    return dumps(extras.put(body, {path: value for path, value in beside.items() if value is not None}))


def _model(model: str, offers: str | None) -> str | dict[str, Any] | None:
    """What the body said of the model: its name, the object by which it was selected, or None."""
    if not offers or '"asked":' not in offers:
        return model
    selection = orjson.loads(offers)[0].get("selection") or {}
    return (selection["asked"] or None) if "asked" in selection else model


def _asked(
    type: str, model: str | dict[str, Any] | None, request: str, beside: Mapping[str, str | None], options: str | None
) -> LineRequest:
    """The stored texts are put together as they are, where they may be: a request may be megabytes."""
    if beside[linked_context.FIELD] or answer_options.language(options):
        request = dumps(preface.without(orjson.loads(request)))
    if any(f'"{name}":' in request for name in (extras.KEY, UNASKED, NULLS)):
        request = _as_sent(request)
    others = [f'"{name}":{text}' for name, text in beside.items() if text]
    others += [options[1:-1]] if options else []
    if model is not None:
        others = [f'"model":{orjson.dumps(model).decode()}', *others]
    body = "{" + ",".join([*others, request[1:]])
    return {"method": "POST", "url": URLS[type], "body": cast(Any, orjson.Fragment(body))}
