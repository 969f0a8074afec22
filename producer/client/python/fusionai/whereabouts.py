"""Where a client finds its server, and its key: as given, else from the environment. What cannot be is said at once.

A key is never in what is said: errors end up in logs.
"""

import inspect
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from openai import OpenAIError

from fusionai import manners
from shared.environment import usual

_ADDRESS, _KEY, _SECRET = "FUSIONAI_BASE_URL", "FUSIONAI_API_KEY", "FUSIONAI_WEBHOOK_SECRET"


def address(given: Any) -> str:
    """The base URL, without a slash at its end; never OpenAI's."""
    text = str(given or usual(_ADDRESS).get(_ADDRESS) or manners.LOCAL_URL).strip().rstrip("/")
    if fault := _fault(text):
        raise OpenAIError(f"base_url {fault}")
    return text


def _fault(text: str) -> str | None:
    try:
        found = urlsplit(text)
        host, _ = found.hostname, found.port
    except ValueError:
        return "is not a URL"
    if found.scheme not in ("http", "https") or not host or not text.isprintable() or " " in text:
        return "must be http:// or https://, a host and a path, as https://api.example.com/v1"
    if "@" in found.netloc:
        return "has credentials in it: the key alone is sent, as api_key"
    return "must not have a query or a fragment" if found.query or found.fragment else None


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
    if not text.isascii() or not text.isprintable() or " " in text:
        raise OpenAIError("the API key has a character in it that no key has")
    return text
