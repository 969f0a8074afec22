"""An operator chooses the account to look at; its pages are then shown as to itself."""

from typing import Final, cast

from sqlalchemy import Connection
from starlette.responses import Response

from producer.console import auditing
from producer.console.api import ApiError
from producer.console.navigation import NavigationPage
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared import accounts, console_sessions
from shared.errors import NotFound
from shared.key_texts import Mode

PATH: Final = "/console/account"
#: Not in the navigation: the page of accounts leads here.
PAGE: Final = NavigationPage("choosing", PATH, "Choose an account", "", "operators")
#: Accounts that are offered, the newest: the id of another one can be written.
_MOST: Final = 50

router = PageRouter()


@router.get(PATH)
async def show(visit: Visit) -> Response:
    """The accounts to choose from."""
    return await _shown(visit)


@router.post(PATH)
async def choose(visit: Visit) -> Response:
    """Look at the account that the form names, or at none."""
    account_id, mode = visit.field("account_id") or None, "test" if visit.field("mode") == "test" else "live"

    def look(connection: Connection) -> None:
        console_sessions.look_at(connection, visit.session.id, account_id, cast(Mode, mode))
        if account_id is not None:
            auditing.note(connection, visit.session, "console.look_at", account_id, ("account", account_id))

    try:
        await visit.context.database.write(look)
    except NotFound as error:
        return await _shown(visit, ApiError(404, error.as_json() | {"param": "account_id"}))
    return visit.see(PATH if account_id is None else "/console")


async def _shown(visit: Visit, error: ApiError | None = None) -> Response:
    found = await visit.context.database.read(accounts.newest_accounts, after=None, limit=_MOST + 1)
    return visit.show(
        "choosing.html",
        status=error.status if error else 200,
        here="choosing",
        accounts=found[:_MOST],
        more=len(found) > _MOST,
        error=error,
    )
