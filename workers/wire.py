"""One HTTP exchange with a provider: every way it can go wrong becomes a ProviderError with a status or a code."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson

from shared import clock
from shared.errors import ProviderError
from workers.retry import CALLERS_STATUSES, FINAL_CODES, KEY_CODES


async def post(client: httpx.AsyncClient, url: httpx.URL, headers: dict[str, str], body: bytes) -> httpx.Response:
    """POST and read the whole answer; an error status, a refused connection or a broken answer is a ProviderError."""
    with told_by_code():
        response = await client.post(url, content=body, headers=headers)
    if response.status_code >= 400:
        raise refused(response)
    return response


@contextmanager
def told_by_code() -> Iterator[None]:
    """Turn an exchange that broke off into a ProviderError of the code that says how."""
    try:
        yield
    except httpx.ConnectError:
        raise ProviderError("the provider could not be reached", code="connect") from None
    except (httpx.TimeoutException, TimeoutError):
        raise ProviderError("the provider did not answer in time", code="timeout") from None
    except httpx.DecodingError:
        raise ProviderError("the provider's answer could not be read whole", code="protocol") from None
    except httpx.RequestError:
        raise ProviderError("the connection to the provider broke", code="reset") from None


def refused(response: httpx.Response) -> ProviderError:
    """What an error status says: the provider's code where the body has one, and how long to wait."""
    status = response.status_code
    message, code = "", None
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        body = None
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        code, message = code_of(error), str(error.get("message", ""))
    return ProviderError(
        told(status, code, message),
        upstream_status=status,
        code=code,
        retry_after_seconds=_retry_after(response.headers),
    )


def code_of(error: Mapping[str, Any]) -> str | None:
    """The machine code of an error object; of Google's, which calls a wrong key an invalid argument, the reason."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        reason = detail.get("reason") if isinstance(detail, dict) else None
        if isinstance(reason, str) and reason in KEY_CODES:
            return reason
    return next(
        (error[key] for key in ("code", "type", "status") if error.get(key) and isinstance(error[key], str)), None
    )


def told(status: int | None, code: str | None, message: str) -> str:
    """What a customer reads of a provider's message: the whole of it when the request is at fault, else nothing.

    Messages about anything else name what is ours: parts of a key, an organisation, a quota.
    """
    if status in (401, 403) or code in KEY_CODES:
        return "the provider refused our key"
    if message and status in CALLERS_STATUSES and code not in FINAL_CODES:
        return message[:500]
    return f"the provider answered {status}" if status is not None else "the provider answered with an error"


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds: `retry-after-ms` (OpenAI, Azure), or `retry-after` as a number or, by RFC 9110, a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            value = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= value < 1e9:
            return value
    try:
        until = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(until.timestamp() - clock.now_micros() / clock.MICROS, 0.0)
