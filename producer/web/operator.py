"""Who may call the operator's routes: whoever sends the operator's password, and the operator's console."""

from typing import Final, cast

from starlette.requests import Request

from producer.context import Context
from producer.web.address import address
from producer.web.keys import read_bearer
from shared import operator_password
from shared.errors import NotFound, Unauthorized
from shared.settings import settings

#: Where the console puts the operator's name, of a request that it makes in this process; no HTTP request has it.
OPERATOR: Final = "fusionai_operator"


def enter_operator(request: Request) -> tuple[Context, str]:
    """The context, and the name under which the operator's changes are written down, where the body has none.

    401 without the operator's password, and wherever none is set; 429 for an address that has sent many wrong ones.
    """
    context = cast(Context, request.app.state.context)
    name: str | None = request.scope.get(OPERATOR)
    if name is None:
        _check(context, request)
        name = settings().operator or "operator"
    if "\x00" in request.scope["path"]:
        raise NotFound("not found: the path contains a NUL character")
    return context, name


def _check(context: Context, request: Request) -> None:
    caller = address(request)
    given = read_bearer(request.headers)
    context.share.check_operator(caller)
    if not operator_password.matches(given):
        context.share.guess_operator(caller)
        raise Unauthorized(
            "invalid operator password"
            if operator_password.is_set()
            else "no operator password is set: FUSIONAI_OPERATOR_PASSWORD"
        )
