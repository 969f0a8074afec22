"""How the resources call: the options of a request, of what a caller gave."""

from collections.abc import Mapping
from typing import Any

from openai._base_client import make_request_options
from openai._types import NotGiven, RequestOptions, not_given

#: Seconds, or the client's own.
Seconds = float | NotGiven
Headers = Mapping[str, str] | None

NO_SECONDS = not_given


def options(
    *,
    query: Mapping[str, Any] | None = None,
    headers: Headers = None,
    timeout: Seconds = NO_SECONDS,
    idempotency_key: str | None = None,
) -> RequestOptions:
    """What OpenAI's client takes beside a path and a body; values of None are left out of the query."""
    return make_request_options(
        query=known(query or {}), extra_headers=headers, timeout=timeout, idempotency_key=idempotency_key
    )


def known(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given."""
    return {name: value for name, value in given.items() if value is not None}
