"""What a route reads from a request, and how it answers."""

import re
from collections.abc import Sequence
from typing import Any, cast

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from producer.admission import idempotency
from producer.admission.idempotency import Claim
from producer.context import Context
from producer.objects import lists
from producer.objects.lists import I, List
from producer.operations.pages import PageQuery
from producer.waiting import stream_starts
from producer.waiting.stream_starts import StreamLimits
from producer.web import patience, permissions
from producer.web.address import address
from producer.web.dialect import dialect_of
from producer.web.patience import Patience
from shared.errors import Forbidden, InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.settings import settings
from shared.submissions.schemas import invalid
from shared.submissions.sizes import MOST_PAGE

#: The longest long poll that may be asked for, in seconds.
MOST_WAIT = 3600.0
#: Where the console puts whose request it is, of one that it makes in this process; no HTTP request has it.
HOLDER = "fusionai_holder"
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?")


async def enter(request: Request) -> tuple[Context, KeyHolder]:
    """The context, and whose key the request carries; no database takes a NUL character, so none gets that far."""
    context = cast(Context, request.app.state.context)
    holder = await _known(context, request)
    context.share.count(holder)
    return _checked(context, holder, request)


async def _known(context: Context, request: Request) -> KeyHolder:
    """Whose key it is, and that this request of it is under way, until it ends."""
    holder: KeyHolder | None = request.scope.get(HOLDER)
    if holder is None:
        key = dialect_of(request).key_of(request.headers)
        holder = await context.keys.holder(key, address(request))
    request.scope["fusionai_account"] = holder.account_id
    request.scope.setdefault("fusionai_ended", []).append(context.share.open(holder))
    return holder


def _checked(context: Context, holder: KeyHolder, request: Request) -> tuple[Context, KeyHolder]:
    if "\x00" in request.scope["path"]:
        raise NotFound("not found: the path contains a NUL character")
    if b"%00" in request.scope["query_string"]:
        raise InvalidRequest("a query parameter contains a NUL character")
    permissions.check(request.scope, holder)
    return context, holder


def check_live(holder: KeyHolder) -> None:
    """403 for a test key, where a request is about money: test keys neither cost nor see any."""
    if holder.test:
        raise Forbidden("a test key cannot access credits, thresholds, transfers or invoices; use a live key")


async def enter_to_submit(request: Request) -> tuple[Context, KeyHolder]:
    """`enter`, for a POST that makes jobs: it counts against the account's limit, and any answer tells what is left."""
    context = cast(Context, request.app.state.context)
    holder = await _known(context, request)
    _checked(context, holder, request)
    dialect = dialect_of(request)
    allowance = await context.limits.take(holder, dialect.dimensions)
    if allowance is not None:
        request.scope["fusionai_headers"].extend(dialect.limit_headers(allowance, "requests"))
        allowance.check()
    return context, holder


def has_body(request: Request) -> bool:
    """Whether a request carries a body, of a POST that may be sent without one."""
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def claim_of(
    request: Request, holder: KeyHolder, body: Any, *, keep_seconds: int = idempotency.KEEP_SECONDS
) -> Claim | None:
    keys = request.headers.getlist(idempotency.HEADER)
    if len(keys) > 1:
        raise InvalidRequest(f"{len(keys)} {idempotency.HEADER} headers: send only one", param=idempotency.HEADER)
    retries = None if keys else request.headers.get(idempotency.RETRY_HEADER)
    if not keys and retries is None:
        return None
    dialect = dialect_of(request)
    path = dialect.call_path(request.url.path)
    if retries is not None:
        if path not in dialect.bought:
            return None
        return idempotency.claim_of_retry(holder, retries, request.method, path, body)
    return idempotency.claim(holder, keys[0], request.method, path, body, keep_seconds=keep_seconds)


def page_of(request: Request, *others: str) -> tuple[PageQuery, dict[str, str]]:
    """The page asked for, and the other parameters; unknown ones are a 400."""
    given: dict[str, Any] = dict(request.query_params)
    rest = {name: given.pop(name) for name in others if name in given}
    if "limit" in given:
        if not (given["limit"].isascii() and given["limit"].isdigit()):
            raise InvalidRequest(f"limit must be an integer from 1 to {MOST_PAGE}", param="limit")
        given["limit"] = int(given["limit"].lstrip("0")[:10] or "0")
    return cast(PageQuery, valid(PageQuery, given)), rest


def page_of_all(request: Request, found: Sequence[I]) -> List[I]:
    """The page asked for of a list that is there as a whole: all of it unless `limit` is given."""
    page, _ = page_of(request)
    ids = [one["id"] for one in found]
    if page.after is not None and page.after not in ids:
        raise InvalidRequest(f"after: {page.after[:100]!r} is not in the list", param="after")
    rest = found[ids.index(page.after) + 1 :] if page.after is not None else found
    return lists.page(rest, page.limit if "limit" in request.query_params else len(rest))


def flag_of(request: Request, name: str, *, usual: bool) -> bool:
    """A query parameter that is true or false; `usual`: where it is not there."""
    wanted = request.query_params.get(name)
    if wanted is not None and wanted not in _FLAGS:
        raise InvalidRequest(f"{name} must be true or false", param=name)
    return usual if wanted is None else _FLAGS[wanted]


def patience_of(request: Request) -> Patience:
    """How long the caller waits."""
    return patience.read(request.headers)


def limits_of(request: Request, *, waits: float | None = None) -> StreamLimits:
    """The limits of a stream for this caller; `waits`: how long it waits for the first event, where that is known."""
    most = settings().wait_seconds
    patient = patience_of(request)
    return StreamLimits(
        begin=patient.for_silence(settings().stream_begin_seconds),
        first=patient.for_first_event(most) if waits is None else waits,
        comment=patient.for_silence(stream_starts.KEEP_ALIVE_SECONDS),
    )


def wait_of(request: Request) -> float:
    """How long a long poll lasts: as asked for, up to the server's limit, and before the client gives up."""
    text = request.query_params.get("wait", "0")
    seconds = float(text) if _SECONDS.fullmatch(text) else -1.0
    if not 0 <= seconds <= MOST_WAIT:
        raise InvalidRequest(f"wait must be a number of seconds from 0 to {MOST_WAIT:.0f}", param="wait")
    return patience_of(request).for_silence(min(seconds, settings().wait_seconds))


def valid(shape: type[Any], body: Any) -> Any:
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        raise invalid(error) from None


def answer(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), media_type="application/json", headers=headers)


def replayable(text: str, replayed: bool) -> Response:
    """An answer that may be an earlier one given again."""
    headers = {"Idempotent-Replayed": "true"} if replayed else None
    return Response(text, media_type="application/json", headers=headers)
