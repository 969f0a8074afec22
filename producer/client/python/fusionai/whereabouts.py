"""Where a client finds its server, and its key: as given, else from the environment. What cannot be is said at once.

A key is never in what is said: errors end up in logs.
"""

import inspect
from collections.abc import Callable
from typing import Any

from openai import OpenAIError

from fusionai import addresses, manners
from shared.environment import usual

_ADDRESS, _KEY, _SECRET = "FUSIONAI_BASE_URL", "FUSIONAI_API_KEY", "FUSIONAI_WEBHOOK_SECRET"


def address(given: Any) -> str:
    """The base URL, without a slash at its end; never OpenAI's."""
    text = str(given or usual(_ADDRESS).get(_ADDRESS) or manners.LOCAL_URL).strip().rstrip("/")
    if fault := addresses.fault_of(text):
        raise OpenAIError(f"base_url {fault}")
    return text


def key(given: Any) -> Any:
    """The API key, or the function that gives it."""
    if callable(given):
        return _of_function(given)
    found = given or usual(_KEY).get(_KEY)
    if not found:
        raise OpenAIError(f"no key: give api_key, or set {_KEY}")
    return _clean(found)


def webhook_secret(given: str | None) -> str | None:
    """The secret of a webhook, if there is one; never OpenAI's."""
    return given if given is not None else usual(_SECRET).get(_SECRET) or ""


def _of_function(function: Callable[[], Any]) -> Callable[[], Any]:
    if not inspect.iscoroutinefunction(function):
        return lambda: _clean(function())

    async def cleaned() -> Any:
        return _clean(await function())

    return cleaned


def _clean(found: Any) -> Any:
    """The key as a header takes it: a line of a file ends in a newline."""
    if not isinstance(found, str):
        return found
    text = found.strip()
    if fault := addresses.fault_of_key(text):
        raise OpenAIError(fault)
    return text
