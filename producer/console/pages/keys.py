"""API keys: what each may do and how its budgets stand. An operator makes and revokes them; a new key is shown once."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection
from starlette.responses import Response

from producer.console import commands
from producer.console.amounts import micros_of
from producer.console.router import PageRouter
from producer.console.visit import Visit
from producer.operations import keys
from shared import accounts, audit, clock, key_limits
from shared.errors import FusionError, InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.key_limits import Change
from shared.key_texts import Mode
from shared.money.budgets import BUDGET_PERIODS
from shared.permissions import PERMISSIONS
from shared.submissions.catalogue import catalogue
from shared.submissions.sizes import MOST_PAGE

router = PageRouter()

#: Keys of one page.
_LIMIT: Final = 20
#: For how many days a new key is good, as the form offers it.
_DAYS: Final = ("", "30", "90", "365")
_MOST_NAME: Final = 200


@router.get("/console/keys")
async def show(visit: Visit) -> Response:
    """The account's keys, the newest first."""
    return await _page(visit)


@router.post("/console/keys")
async def create(visit: Visit) -> Response:
    """Make a key; the answer shows it, and nothing ever does again."""
    _check_operator(visit)
    try:
        wanted = _read(visit)
    except InvalidRequest as error:
        return await _page(visit, error)
    account_id = visit.holder.account_id
    action = audit.Action(visit.session.who, "console.keys.create")

    def make(connection: Connection) -> tuple[str, str]:
        id, key = accounts.create_key(
            connection, account_id, wanted.mode, name=wanted.name, expires_at=wanted.expires_at
        )
        key_limits.change(connection, id, wanted.change)
        after = {"mode": wanted.mode, "name": wanted.name, **keys.limits(connection, id)}
        audit.record(connection, action, account_id, ("key", id), after=after)
        return id, key

    id, key = await visit.context.database.write(make)
    made = await visit.context.database.read(keys.one, account_id, id)
    asked, permissions = _texts(visit)
    same = [("New key", commands.new_key(account_id, asked, permissions))]
    return visit.show("key_made.html", here="keys", key=key, made=made, commands=same)


@router.post("/console/keys/{key_id}/revoke")
async def revoke(visit: Visit, key_id: str) -> Response:
    """End a key of the account."""
    _check_operator(visit)
    account_id = visit.holder.account_id
    action = audit.Action(visit.session.who, "console.keys.revoke")

    def end(connection: Connection) -> None:
        if accounts.read_key(connection, account_id, key_id)["revoked_at"] is not None:
            return
        accounts.revoke_key(connection, key_id)
        audit.record(connection, action, account_id, ("key", key_id))

    await visit.context.database.write(end)
    return visit.see("/console/keys", "The key is revoked; it is refused within a second.")


async def _page(visit: Visit, error: FusionError | None = None) -> Response:
    after = visit.query.get("after") or None
    found = await visit.context.database.read(_seen, visit.holder, after)
    now = clock.now_micros() // clock.MICROS
    shown = [{**key, "state": _state(key, now)} for key in found[:_LIMIT]]
    return visit.show(
        "keys.html",
        status=error.status if error else 200,
        here="keys",
        keys=shown,
        next=visit.url(after=shown[-1]["id"]) if len(found) > _LIMIT else "",
        first=visit.url(after=None) if after else "",
        permissions=PERMISSIONS,
        periods=BUDGET_PERIODS,
        days=_DAYS,
        given=visit.form,
        chosen=visit.form.getlist("permission") if error else [],
        commands=commands.of_keys(visit.holder.account_id, shown, *_texts(visit)),
        error=error,
    )


def _seen(connection: Connection, holder: KeyHolder, after: str | None) -> list[dict[str, Any]]:
    """The account's keys; to a restricted key, itself alone: what others may do and spend is not its business."""
    if holder.limits.permissions is None:
        return keys.page(connection, holder.account_id, after=after, limit=_LIMIT)
    return [keys.one(connection, holder.account_id, holder.key_id)]


def _state(key: dict[str, Any], now: int) -> str:
    if key["revoked_at"] is not None:
        return "revoked"
    return "expired" if key["expires_at"] is not None and key["expires_at"] <= now else "active"


def _texts(visit: Visit) -> tuple[dict[str, str], list[str]]:
    """What the form says as it was written, and the permissions that were chosen."""
    asked = {name: value for name, value in visit.form.items() if isinstance(value, str)}
    return asked, [str(one) for one in visit.form.getlist("permission")]


def _check_operator(visit: Visit) -> None:
    if not visit.is_operator:
        raise NotFound("not found: only operators make and revoke keys")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A key as the form asks for it; `expires_at` in microseconds."""

    name: str
    mode: Mode
    expires_at: int | None
    change: Change


def _read(visit: Visit) -> _Wanted:
    """What the form says; InvalidRequest names the field that cannot be."""
    mode: Mode = "test" if visit.field("mode") == "test" else "live"
    name, days = visit.field("name"), visit.field("days")
    if len(name) > _MOST_NAME:
        raise InvalidRequest(f"name: at most {_MOST_NAME} characters", param="name")
    values: dict[str, Any] = {}
    if models := visit.field("models").replace(",", " ").split():
        values["models"] = models[: MOST_PAGE + 1]
    if permissions := [str(one) for one in visit.form.getlist("permission")]:
        values["permissions"] = permissions
    for limit in ("requests_per_minute", "tokens_per_minute"):
        if text := visit.field(limit):
            values[limit] = _whole(limit, text)
    given = {period: visit.field(f"budget_{period}") for period in BUDGET_PERIODS}
    budgets = {period: micros_of(f"budget_{period}", text, least=0) for period, text in given.items() if text}
    if mode == "test" and budgets:
        raise InvalidRequest("a test key is never charged, so it has no budget", param=f"budget_{next(iter(budgets))}")
    until = clock.now_micros() + int(days) * 86_400 * clock.MICROS if days in _DAYS[1:] else None
    return _Wanted(name, mode, until, Change(values, budgets).checked(catalogue()))


def _whole(param: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidRequest(f"{text[:50]!r} is no whole number", param=param)
    return int(text)
