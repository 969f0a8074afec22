"""Renders the request of a batch line again from what is stored of its job, so that it can be sent again.

The body is the request as it was read: hints stand in their places again, fields that nothing is made of are left out.
"""

from collections.abc import Mapping
from typing import Any, cast

import orjson

from shared.objects.batches import LineRequest
from shared.strict_json import dumps
from shared.submissions import extras
from shared.submissions.job_types import URLS
from shared.submissions.rows import Priced
from shared.submissions.schemas import NULLS, UNASKED


def of_row(row: Mapping[str, Any]) -> LineRequest | None:
    """`{"method", "url", "body"}` of a job's `type`, `model`, and its payload's columns; None when that is gone."""
    if row["request"] is None:
        return None
    return _asked(row["type"], row["model"], row["request"], row["labels"], row["routing"])


def of_plan(line: Priced) -> LineRequest:
    """The same of a line that never became a job."""
    return _asked(line.type, line.model, line.request, line.labels, line.routing)


def _as_sent(request: str) -> str:
    """A stored request without our own marks; what was kept beside it stands where it stood."""
    body = orjson.loads(request)
    beside = body.pop(extras.KEY, None) or {}
    for name in body.pop(UNASKED, ()):
        body.pop(name, None)
    for number in body.pop(NULLS, ()):
        body["messages"][number]["content"] = None
    return dumps(extras.put(body, {path: value for path, value in beside.items() if value is not None}))


def _asked(type: str, model: str, request: str, labels: str | None, routing: str | None) -> LineRequest:
    """The stored texts are put together as they are, where they may be: a request may be megabytes."""
    if any(f'"{name}":' in request for name in (extras.KEY, UNASKED, NULLS)):
        request = _as_sent(request)
    beside = [f'"model":{orjson.dumps(model).decode()}']
    beside += [f'"{name}":{text}' for name, text in (("metadata", labels), ("routing", routing)) if text]
    body = "{" + ",".join([*beside, request[1:]])
    return {"method": "POST", "url": URLS[type], "body": cast(Any, orjson.Fragment(body))}
