"""Credits and invoices: the balance over time, transfers, thresholds, automatic top-up, buying, invoices."""

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from producer.console import commands
from producer.console.api import ApiError, Call
from producer.console.formats import credits
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared.audit import MOST_REASON, Action
from shared.errors import Conflict, FusionError, InvalidRequest, NotFound
from shared.payments import by_hand

router = PageRouter()

#: Rows of the lists on the first page, and empty rows of the form of thresholds.
_SHORT, _EMPTY = 8, 2
#: Days that the chart has at least.
_LEAST_DAYS = 7
#: How invoices are filtered.
_FILTERS: Final = ("kind", "status", "after")
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


@router.get("/console/credits")
async def show(visit: Visit) -> Response:
    """The balance and all that is about it."""
    return await _page(visit)


async def _page(visit: Visit, error: ApiError | None = None, of: str = "", given: Mapping[str, Any] = {}) -> Response:
    """The page; with the error of a form that was refused (`of`), beside the field that it is about."""
    if visit.holder.test:
        return visit.show("credits_test.html", here="credits")
    balance = await visit.api.get("/v1/credits")
    history = _since_first((await visit.api.get("/v1/credits/history"))["data"])
    return visit.show(
        "credits.html",
        status=error.status if error else 200,
        here="credits",
        balance=balance,
        history=history,
        series=_series(history),
        top_up=await visit.api.get("/v1/credits/auto_top_up"),
        transfers=(await visit.api.get("/v1/credits/transfers", limit=_SHORT))["data"],
        invoices=(await visit.api.get("/v1/invoices", limit=_SHORT))["data"],
        levels=[*balance["thresholds"], *({"kind": "remaining", "credits": ""} for _ in range(_EMPTY))],
        once=secrets.token_hex(16),
        online=_is_online(visit),
        call=Call("GET", "/v1/credits"),
        buttons=_buttons(balance),
        error=error,
        of=of,
        given=given,
    )


def _buttons(balance: Mapping[str, Any]) -> list[tuple[str, Call]]:
    """What the page's forms send, with examples of amounts."""
    top_up = {"enabled": True, "threshold": 100, "credits": 500, "monthly_limit": 2000}
    return [
        ("Buy credits", Call("POST", "/v1/invoices", body={"credits": 500})),
        ("Automatic top-up", Call("PUT", "/v1/credits/auto_top_up", body=top_up)),
        ("Thresholds", Call("PUT", "/v1/credits/thresholds", body={"thresholds": balance["thresholds"]})),
    ]


def _since_first(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The days since there was something, but a week of them at least."""
    return history[max(0, min(_first(history), len(history) - _LEAST_DAYS)) :]


def _first(history: list[dict[str, Any]]) -> int:
    """The place of the first day on which there was something."""
    return next((at for at, day in enumerate(history) if day["remaining"] or day["added"] or day["spent"]), 0)


def _series(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The days as a chart has them: each at its beginning, UTC."""
    days = [datetime.fromisoformat(day["date"]).replace(tzinfo=UTC) for day in history]
    first = _first(history)  # before it there was no balance, and a line from zero would say that it grew
    values = [day["remaining"] if at >= first else None for at, day in enumerate(history)]
    lines = [{"name": "Remaining", "values": values}]
    return {"x": [int(day.timestamp()) for day in days], "lines": lines, "unit": "credits", "by": "day"}


@router.post("/console/credits/buy")
async def buy(visit: Visit) -> Response:
    """Make an invoice; it is paid on its page."""
    body: dict[str, Any] = {"credits": _number(visit.field("credits"))}
    if description := visit.field("description"):
        body["description"] = description
    if visit.field("save_payment_method"):
        body["save_payment_method"] = True
    try:
        made = (await visit.change(Call("POST", "/v1/invoices", body=body, headers=visit.once))).data
    except ApiError as error:
        return await _page(visit, error, "buy", visit.form)
    return visit.see(f"/console/credits/invoices/{made['id']}", f"Invoice {made['number']} was made.")


@router.post("/console/credits/thresholds")
async def set_thresholds(visit: Visit) -> Response:
    """Replace the thresholds by the rows that have an amount."""
    pairs = zip(visit.form.getlist("kind"), visit.form.getlist("level"), strict=False)
    rows = [{"kind": str(kind), "credits": _number(str(level).strip())} for kind, level in pairs if str(level).strip()]
    try:
        await visit.change(Call("PUT", "/v1/credits/thresholds", body={"thresholds": rows}))
    except ApiError as error:
        return await _page(visit, error, "thresholds", visit.form)
    return visit.see("/console/credits", "The thresholds are set." + crossed(await visit.api.get("/v1/credits")))


def crossed(balance: Mapping[str, Any]) -> str:
    """Words on thresholds that are crossed already, for which no event comes now; empty: there are none.

    >>> crossed({"available": 5, "spent": {"credits": 1}, "thresholds": [{"kind": "remaining", "credits": 10}]})
    ' Remaining 10.00 is crossed already: its next event comes after the balance has risen above it and fallen again.'
    """
    said = ""
    for one in balance["thresholds"]:
        if one["kind"] == "remaining" and balance["available"] < one["credits"]:
            when = "after the balance has risen above it and fallen again"
        elif one["kind"] == "spent" and balance["spent"]["credits"] >= one["credits"]:
            when = "in the next month in which that much is spent"
        else:
            continue
        name = f"{one['kind'].capitalize()} {credits(one['credits'])}"
        said += f" {name} is crossed already: its next event comes {when}."
    return said


@router.post("/console/credits/top-up")
async def set_top_up(visit: Visit) -> Response:
    """Switch the automatic top-up on, or off."""
    body: dict[str, Any] = {"enabled": visit.field("enabled") == "on"}
    if body["enabled"]:
        fields = {"threshold": "threshold", "credits": "amount", "monthly_limit": "monthly_limit"}
        body |= {name: _number(visit.field(given)) for name, given in fields.items()}
    try:
        await visit.change(Call("PUT", "/v1/credits/auto_top_up", body=body))
    except ApiError as error:
        return await _page(visit, error, "top-up", visit.form)
    return visit.see("/console/credits", f"The automatic top-up is {'on' if body['enabled'] else 'off'}.")


@router.get("/console/credits/transfers")
async def show_transfers(visit: Visit) -> Response:
    """All movements, a page of them."""
    query = {"after": visit.query["after"]} if visit.query.get("after") else {}
    call = Call("GET", "/v1/credits/transfers", query)
    page = (await visit.api.send(call)).data
    return visit.show("transfers.html", here="credits", transfers=page["data"], call=call, **_pager(visit, page))


@router.get("/console/credits/invoices")
async def show_invoices(visit: Visit) -> Response:
    """Invoices, a page of those that fit the filters in the URL."""
    query = {name: visit.query[name] for name in _FILTERS if visit.query.get(name)}
    call = Call("GET", "/v1/invoices", query)
    page = (await visit.api.send(call)).data
    return visit.show("invoices.html", here="credits", invoices=page["data"], call=call, **_pager(visit, page))


@router.get("/console/credits/invoices/{invoice_id}")
async def show_invoice(visit: Visit, invoice_id: str) -> Response:
    """An invoice, with links to its documents."""
    return await _invoice(visit, invoice_id)


async def _invoice(visit: Visit, invoice_id: str, error: ApiError | None = None) -> Response:
    call = Call("GET", f"/v1/invoices/{invoice_id}")
    invoice = (await visit.api.send(call)).data
    links = await visit.api.get(f"/v1/invoices/{invoice_id}/links")
    voids = []
    if invoice["kind"] == "purchase" and invoice["status"] in ("open", "expired"):
        voids.append(("Void", Call("POST", f"/v1/invoices/{invoice_id}/void")))
    pays = visit.is_operator and invoice["kind"] == "purchase" and invoice["status"] == "open"
    return visit.show(
        "invoice.html",
        status=error.status if error else 200,
        here="credits",
        invoice=invoice,
        links=links,
        call=call,
        buttons=voids,
        commands=[("Mark as paid", commands.mark_paid(invoice_id))] if pays and not _is_online(visit) else (),
        online=_is_online(visit),
        note=by_hand.NOTE,
        error=error,
    )


def _is_online(visit: Visit) -> bool:
    """Whether purchases are paid at a provider, and not to the operator."""
    return visit.context.paying.provider != "manual"


@router.post("/console/credits/invoices/{invoice_id}/void")
async def void(visit: Visit, invoice_id: str) -> Response:
    """Void an open purchase; one that is void stays as it is."""
    place = f"/console/credits/invoices/{invoice_id}"
    if (await visit.api.get(f"/v1/invoices/{invoice_id}"))["status"] == "void":
        return visit.see(place, "The invoice was void already.")
    try:
        await visit.change(Call("POST", f"/v1/invoices/{invoice_id}/void"))
    except ApiError as error:
        return await _invoice(visit, invoice_id, error)
    return visit.see(place, "The invoice is void.")


@router.post("/console/credits/invoices/{invoice_id}/pay")
async def pay(visit: Visit, invoice_id: str) -> Response:
    """Mark a purchase paid that is paid to the operator, as `fusionai invoices pay` does."""
    if not visit.is_operator:
        raise NotFound("not found: only operators mark invoices as paid")
    note = visit.field("note") or by_hand.NOTE
    await visit.api.get(f"/v1/invoices/{invoice_id}")  # it is the account's
    try:
        if len(note) > MOST_REASON:
            raise InvalidRequest(f"a note has at most {MOST_REASON} characters", param="note")
        if _is_online(visit):
            raise Conflict(
                "purchases are paid at a provider here: only the command `fusionai invoices pay` may do this"
            )
        await visit.context.paying.withdraw(invoice_id)  # a provider that was in use before may have a page of it
        action = Action(visit.session.who, "invoices.pay", note)
        is_done, paid = await visit.context.database.write(by_hand.mark_paid, action, invoice_id)
    except FusionError as error:
        return await _invoice(visit, invoice_id, ApiError(error.status, error.as_json()))
    said = f"is paid: {paid['credits']:,} credits are granted." if is_done else "was paid already."
    return visit.see(f"/console/credits/invoices/{invoice_id}", f"Invoice {paid['number']} {said}")


def _pager(visit: Visit, page: Mapping[str, Any]) -> dict[str, Any]:
    following = visit.url(after=page["last_id"]) if page["has_more"] else ""
    return {"next": following, "first": visit.url(after=None) if visit.query.get("after") else ""}


def _number(text: str) -> int | float | str:
    """A number of a form, as JSON has it; what is none stays a text, which the API refuses in its words."""
    plain = text.replace(",", "").replace("_", "")
    if not _NUMBER.fullmatch(plain):
        return text
    number = float(plain)
    return int(plain) if plain.lstrip("-").isdigit() else int(number) if number.is_integer() else number
