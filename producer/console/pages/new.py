"""New work: a request composed in a form, its price before it is sent, and the same as curl and as SDK code."""

import secrets
from typing import Any, cast

from starlette.responses import Response

from producer.console import code_samples, composing
from producer.console.api import ApiError, Call
from producer.console.composing import OTHERS, FormError
from producer.console.pages import new_batch
from producer.console.pages.new_batch import TYPES
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared.submissions.job_types import JobType

router = PageRouter()
router.include(new_batch.router)

#: Messages of an empty form.
_EMPTY = ({"role": "system", "content": ""}, {"role": "user", "content": ""})
#: What else than sending the buttons of the form do.
_ADD, _REMOVE, _SEND = "add", "remove-", "send"


@router.get("/console/new")
async def show(visit: Visit) -> Response:
    """The form of a type, or that of a file."""
    if visit.query.get("type") == "batch":
        return new_batch.show(visit)
    return await _form(visit, _kind(visit.query.get("type", "")))


@router.post("/console/new")
async def submit(visit: Visit) -> Response:
    """Send what was composed, say what it costs, or add or take away a message: as the button says."""
    kind = _kind(visit.field("type"))
    wanted = visit.field("do")
    if wanted == _ADD or wanted.startswith(_REMOVE):
        return await _form(visit, kind)
    try:
        body = {"type": kind, **composing.body_of(kind, visit.form)}
        if wanted == _SEND:
            return await _sent(visit, body)
        quoted = (await visit.api.send(Call("POST", "/v1/jobs", body={**body, "dry_run": True}))).data
    except FormError as error:
        return await _form(visit, kind, ApiError(400, {"message": error.message, "param": error.param}))
    except ApiError as error:
        return await _form(visit, kind, error)
    return await _form(visit, kind, quoted=quoted, body=body)


async def _sent(visit: Visit, body: dict[str, Any]) -> Response:
    """Make the job, once for a form however often it is sent."""
    made = await visit.change(Call("POST", "/v1/jobs", body=body, headers=visit.once))
    return visit.see(f"/console/jobs/{made.data['id']}", "The job is sent.")


async def _form(
    visit: Visit,
    kind: JobType,
    error: ApiError | None = None,
    *,
    quoted: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
) -> Response:
    """The form, with what was filled in and what came of it."""
    models = [one for one in (await visit.api.get("/v1/models"))["data"] if one["type"] == kind]
    values = {name: value for name, value in visit.form.items() if isinstance(value, str)}
    call = Call("POST", "/v1/jobs", body=body) if body else None
    asked = {name: value for name, value in (body or {}).items() if name != "type"}
    return visit.show(
        "new.html",
        status=error.status if error else 200,
        here="new",
        kind=kind,
        error=_placed(error),
        types=TYPES,
        first=composing.FIRST[kind],
        more=composing.MORE[kind],
        roles=composing.ROLES,
        model=values.get("model") or _cheapest(models),
        models_shown=[(one["id"], f"{one['id']} ({one['provider']})") for one in models],
        opened=any(values.get(one.name) for one in (*composing.MORE[kind], composing.METADATA, OTHERS)),
        values=values,
        messages=_messages(visit),
        may_add=len(_messages(visit)) < composing.MOST_MESSAGES,
        quoted=quoted,
        call=call,
        code=code_samples.python(kind, asked, visit.base_url) if body else "",
        once=secrets.token_urlsafe(16),
    )


def _messages(visit: Visit) -> list[dict[str, str]]:
    """The messages as they stand in the form, after the button that adds one or takes one away."""
    pairs = zip(visit.form.getlist("role"), visit.form.getlist("content"), strict=False)
    found = [{"role": str(role), "content": str(content)} for role, content in pairs]
    wanted = visit.field("do")
    if wanted == _ADD:
        after = "assistant" if found and found[-1]["role"] == "user" else "user"
        found.append({"role": after, "content": ""})
    number = wanted.removeprefix(_REMOVE)
    known = number.isascii() and number.isdigit() and len(number) < 9 and int(number) < len(found)
    if wanted.startswith(_REMOVE) and known:
        del found[int(number)]
    return found[: composing.MOST_MESSAGES] or [dict(one) for one in _EMPTY]


def _placed(error: ApiError | None) -> ApiError | None:
    """An error with the name of the field of the form that it is about: `messages[0].content` is `messages`'."""
    if error is None or error.param is None:
        return error
    name = error.param.replace("[", ".").partition(".")[0]
    return ApiError(error.status, {**error.error, "param": name})


def _cheapest(models: list[dict[str, Any]]) -> str:
    """The model that a form begins with: an answer of it costs least."""
    return str(min(models, key=_price)["id"]) if models else ""


def _price(model: dict[str, Any]) -> int:
    price = model["price"]
    return int(min(price["images"].values()) if price.get("images") else price.get("output") or price.get("input") or 0)


def _kind(text: str) -> JobType:
    return cast(JobType, text) if text in dict(composing.TYPES) else "chat.completion"
