"""Webhooks: the endpoints, what was sent to each and what came of it; making, changing, testing, sending again."""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from producer.console.api import ApiError, Call
from producer.console.formats import moment
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared import clock
from shared.settings import settings

router = PageRouter()

#: Deliveries of a page, and webhooks: an account has no more.
_DELIVERIES, _MOST = 25, 100
#: Since when events may be sent again, in seconds, and what of them.
PERIODS: Final = (
    ("3600", "the last hour"),
    ("21600", "the last 6 hours"),
    ("86400", "the last day"),
    ("259200", "the last 3 days"),
    ("604800", "the last 7 days"),
    ("2592000", "the last 30 days"),
)
_SECONDS: Final = re.compile(r"[0-9]{1,15}")
WHICH: Final = (
    ("failed", "what failed"),
    ("missing", "what it was never sent"),
    ("all", "everything, delivered events too"),
)


@router.get("/console/webhooks")
async def show_list(visit: Visit) -> Response:
    """All endpoints, and the catalogue of events."""
    call = Call("GET", "/v1/webhooks", {"limit": str(_MOST)})
    found = (await visit.api.send(call)).data["data"]
    return visit.show("webhooks.html", here="webhooks", webhooks=found, types=await _types(visit), call=call)


@router.get("/console/webhooks/new")
async def show_new(visit: Visit) -> Response:
    """The form of a new endpoint."""
    return await _form(visit)


@router.post("/console/webhooks/new")
async def create(visit: Visit) -> Response:
    """Make it, and show its secret, this once."""
    given = _given(visit)
    try:
        _check_chosen(given)
        made = await visit.change(Call("POST", "/v1/webhooks", body=given, headers=visit.once))
    except ApiError as error:
        return await _form(visit, given=given, error=error)
    return _secret(visit, made.data, "The endpoint is made.")


@router.get("/console/webhooks/{id}")
async def show(visit: Visit, id: str) -> Response:
    """An endpoint and a page of its deliveries."""
    return await _webhook(visit, id)


@router.get("/console/webhooks/{id}/edit")
async def show_edit(visit: Visit, id: str) -> Response:
    """The form of one that is there."""
    found = await visit.api.get(f"/v1/webhooks/{id}")
    return await _form(visit, id=id, given=found)


@router.post("/console/webhooks/{id}/edit")
async def edit(visit: Visit, id: str) -> Response:
    """Change it."""
    given = {"description": None, **_given(visit)}
    try:
        _check_chosen(given)
        await visit.change(Call("PATCH", f"/v1/webhooks/{id}", body=given))
    except ApiError as error:
        return await _form(visit, id=id, given=given, error=error)
    return visit.see(f"/console/webhooks/{id}", "The endpoint is changed.")


@router.post("/console/webhooks/{id}/status")
async def change_status(visit: Visit, id: str) -> Response:
    """Enable or disable it."""
    status = visit.field("status")
    await visit.change(Call("PATCH", f"/v1/webhooks/{id}", body={"status": status}))
    return visit.see(f"/console/webhooks/{id}", f"The endpoint is {status}.")


@router.post("/console/webhooks/{id}/delete")
async def remove(visit: Visit, id: str) -> Response:
    """Delete it."""
    await visit.change(Call("DELETE", f"/v1/webhooks/{id}"))
    return visit.see("/console/webhooks", "The endpoint is deleted; nothing more is sent to it.")


@router.post("/console/webhooks/{id}/test")
async def test(visit: Visit, id: str) -> Response:
    """Send a test event."""
    try:
        await visit.change(Call("POST", f"/v1/webhooks/{id}/test", body={}))
    except ApiError as error:
        return await _webhook(visit, id, error)
    return visit.see(f"/console/webhooks/{id}", "A test event is on its way; what comes of it is the first delivery.")


@router.post("/console/webhooks/{id}/rotate")
async def rotate(visit: Visit, id: str) -> Response:
    """Give it a new secret, and show that, this once."""
    has_leaked = visit.field("leaked") == "yes"
    body = {"overlap_seconds": 0} if has_leaked else {}
    made = await visit.change(Call("POST", f"/v1/webhooks/{id}/rotate", body=body, headers=visit.once))
    said = "The old secrets sign nothing any more." if has_leaked else "The old secret signs beside it for a day."
    return _secret(visit, made.data, said)


@router.post("/console/webhooks/{id}/redeliver")
async def redeliver(visit: Visit, id: str) -> Response:
    """Send again what is asked for, since a time; a part of it, and where the rest begins."""
    period = visit.field("period")
    seconds = int(period) if period in dict(PERIODS) else 3600
    since = visit.field("since") or str(clock.now_seconds() - seconds)
    wanted: dict[str, Any] = {"since": int(since) if _SECONDS.fullmatch(since) else since}
    wanted["status"] = visit.field("which")
    if after := visit.field("after"):
        wanted["after"] = after
    try:
        part = (await visit.change(Call("POST", f"/v1/webhooks/{id}/redeliver", body=wanted))).data
    except ApiError as error:
        return await _webhook(visit, id, error)
    number = part["redelivered"]
    said = f"{number:,} {'delivery is' if number == 1 else 'deliveries are'} sent again."
    if not number and wanted["status"] == "failed" and not part["has_more"]:
        said = await _why_nothing(visit, id)
    rest = {"since": since, "which": wanted["status"], "rest": part["last_id"]} if part["has_more"] else {}
    return visit.see(f"/console/webhooks/{id}", said + (" There are more." if rest else ""), **rest)


@router.post("/console/webhooks/{id}/events/{event_id}/redeliver")
async def redeliver_event(visit: Visit, id: str, event_id: str) -> Response:
    """Send one event again."""
    try:
        await visit.change(Call("POST", f"/v1/events/{event_id}/redeliver", body={}))
    except ApiError as error:
        return await _webhook(visit, id, error)
    return visit.see(f"/console/webhooks/{id}", f"Event {event_id} is sent again.")


async def _webhook(visit: Visit, id: str, error: ApiError | None = None) -> Response:
    call = Call("GET", f"/v1/webhooks/{id}/deliveries", {"limit": str(_DELIVERIES)})
    found = await visit.api.get(f"/v1/webhooks/{id}")
    after = visit.query.get("after")
    page = await visit.api.get(call.path, limit=_DELIVERIES, after=after)
    return visit.show(
        "webhook.html",
        status=error.status if error else 200,
        here="webhooks",
        webhook=found,
        deliveries=page["data"],
        active=any(one["status"] == "pending" for one in page["data"]),
        call=call,
        buttons=_buttons(found),
        periods=PERIODS,
        which=WHICH,
        once=secrets.token_urlsafe(16),
        rest={name: visit.query.get(name, "") for name in ("since", "which", "rest")},
        next=visit.url(after=page["last_id"]) if page["has_more"] else "",
        first=visit.url(after=None) if after else "",
        error=error,
    )


async def _why_nothing(visit: Visit, id: str) -> str:
    """Says why nothing that failed was sent again: what fails now and then is repeated without being asked."""
    page = await visit.api.get(f"/v1/webhooks/{id}/deliveries", limit=_MOST)
    tried = [one["next_attempt_at"] for one in page["data"] if one["status"] == "pending" and one["attempts"]]
    if not tried:
        return "Nothing is sent again: no delivery of that time has failed for good."
    many = "is" if len(tried) == 1 else "are"
    number = f"{len(tried)}{' or more' if page['has_more'] else ''}"
    soonest = min((at for at in tried if at is not None), default=None)
    when = f", next at {moment(soonest)}" if soonest is not None else ""
    return f"Nothing is sent again: no delivery of that time has failed for good. {number} {many} being retried{when}."


def _buttons(webhook: dict[str, Any]) -> list[tuple[str, Call]]:
    """What the page's buttons send."""
    path, enabled = f"/v1/webhooks/{webhook['id']}", webhook["status"] == "enabled"
    status = "disabled" if enabled else "enabled"
    since = clock.now_seconds() // 60 * 60 - int(PERIODS[2][0])
    sending = [
        ("Send a test event", Call("POST", f"{path}/test", body={})),
        ("Send again", Call("POST", f"{path}/redeliver", body={"since": since, "status": "failed"})),
    ]
    return [
        *(sending if enabled else ()),
        ("Edit", Call("PATCH", path, body={"url": webhook["url"], "events": webhook["events"]})),
        ("Rotate", Call("POST", f"{path}/rotate", body={})),
        ("It has leaked", Call("POST", f"{path}/rotate", body={"overlap_seconds": 0})),
        ("Disable" if enabled else "Enable", Call("PATCH", path, body={"status": status})),
        ("Delete", Call("DELETE", path)),
    ]


async def _form(
    visit: Visit, *, id: str = "", given: dict[str, Any] | None = None, error: ApiError | None = None
) -> Response:
    return visit.show(
        "webhook_form.html",
        status=error.status if error else 200,
        here="webhooks",
        id=id,
        given=given or {},
        types=await _types(visit),
        reach=_reach(),
        call=_sending(id, given),
        once=visit.field("once") or secrets.token_urlsafe(16),
        error=error,
    )


def _sending(id: str, given: Mapping[str, Any] | None) -> Call:
    """What the form sends, with an example where nothing has been filled in."""
    shown = given or {"url": "https://example.com/hooks", "events": ["*"]}
    body = {name: shown[name] for name in ("url", "events", "description") if shown.get(name)}
    return Call("PATCH", f"/v1/webhooks/{id}", body=body) if id else Call("POST", "/v1/webhooks", body=body)


def _reach() -> str:
    """From where an endpoint must be reachable, by the settings."""
    if settings().webhooks_allow_private:
        return "this server, at a public or a private address"
    if settings().webhooks_allow_loopback:
        return "the internet, or on the machine of this server, as http://127.0.0.1:9000/hooks"
    return "the internet"


def _secret(visit: Visit, made: dict[str, Any], said: str) -> Response:
    """The page that shows a secret: it is the answer to a POST, and no URL leads there again."""
    return visit.show("webhook_secret.html", here="webhooks", webhook=made, said=said)


def _given(visit: Visit) -> dict[str, Any]:
    """What a form says of an endpoint.

    Where types are ticked beside "All", what was ticked last holds: "All", if the form came without it (`was_every`).
    """
    chosen = [value for value in visit.form.getlist("events") if isinstance(value, str)]
    every = visit.field("every") == "yes" and not (chosen and visit.field("was_every") == "yes")
    given: dict[str, Any] = {"url": visit.field("url"), "events": ["*"] if every else chosen}
    if description := visit.field("description"):
        given["description"] = description
    return given


def _check_chosen(given: Mapping[str, Any]) -> None:
    if not given["events"]:
        message = "choose All, or at least one type of event"
        raise ApiError(400, {"message": message, "type": "invalid_request", "param": "events"})


async def _types(visit: Visit) -> list[dict[str, Any]]:
    page = await visit.api.get("/v1/events/types")
    return list(page["data"])
