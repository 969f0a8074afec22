"""Verifies what a webhook or a `callback_url` receives: its signature, its age, and whether it has come before.

Deliveries are signed by two conventions (`shared.webhooks.signing`). Each that is there must hold, in constant time, by
one of the secrets: during a rotation there are several signatures, and a receiver may know several secrets.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from fusionai.portable import Portable
from shared import clock
from shared.webhooks import signing
from shared.webhooks.signing import TOLERANCE_SECONDS

Reason = Literal["missing_header", "timestamp", "signature", "body", "replayed"]

_STANDARD = ("webhook-id", "webhook-timestamp", "webhook-signature")
_FUSIONAI = "fusionai-signature"


class WebhookVerificationError(Portable):
    """A delivery that is not to be acted on; `reason` says why in one word.

    Answer 400 to it, but 200 when it was `replayed`: it has been acted on, only that answer was lost.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SeenEvents:
    """The ids of events that have come, in this process: events are delivered at least once. Make one and keep it.

    An id is noted when its delivery is verified: `forget` it where acting on the event then fails, or its repetition is
    refused. Where several processes receive, have `seen` be a function that inserts the id into a table of yours,
    unique, in the transaction that acts on the event, and returns whether it was there.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, id: str) -> bool:
        """Note an id; whether it was noted before."""
        with self._lock:
            known = id in self._ids
            self._ids[id] = None
            self._ids.move_to_end(id)
            if len(self._ids) > self._most:
                self._ids.popitem(last=False)
            return known

    def forget(self, id: str) -> None:
        """Let an event in again, which has not been acted on after all."""
        with self._lock:
            self._ids.pop(id, None)


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance_seconds: int = TOLERANCE_SECONDS,
    now: int | None = None,
    seen: Callable[[str], bool] | None = None,
) -> dict[str, Any]:
    """The event of a delivery, once it is known to come from the holder of `secret`; else WebhookVerificationError.

    `body`: as received, before any parsing. `headers`: names in any case. `secret`: `whsec_…`, or several of them.
    `tolerance_seconds`: how far its time may be from `now` (the present, Unix time in seconds), which is what makes an
    old delivery useless to whoever recorded it. `seen`: see SeenEvents. ValueError for a malformed secret.
    """
    given = {name.lower(): value for name, value in headers.items()}
    content = body.encode(errors="surrogatepass") if isinstance(body, str) else body
    secrets = [secret] if isinstance(secret, str) else list(secret)
    if not secrets:
        raise ValueError("at least one secret is required")
    _check(given, content, secrets, clock.now_seconds() if now is None else now, tolerance_seconds)
    event = _event(content)
    if _STANDARD[0] in given and given[_STANDARD[0]] != event["id"]:
        raise WebhookVerificationError("body", "webhook-id is not the id of the event")
    if seen is not None and seen(event["id"]):
        raise WebhookVerificationError("replayed", f"event {event['id']} has been received before")
    return event


def _check(given: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int, tolerance: int) -> None:
    standard = any(name in given for name in _STANDARD)
    if not standard and _FUSIONAI not in given:
        raise WebhookVerificationError("missing_header", f"neither {_STANDARD[2]} nor FusionAI-Signature is there")
    if standard:
        if missing := [name for name in _STANDARD if not given.get(name)]:
            raise WebhookVerificationError("missing_header", f"{missing[0]} is missing")
        _check_time(given[_STANDARD[1]], _STANDARD[1], now, tolerance)
        _check_signed([signing.standard_holds(given, body, one) for one in secrets], _STANDARD[2])
    if _FUSIONAI in given:
        _check_time(signing.fusionai_time(given), "FusionAI-Signature", now, tolerance)
        _check_signed([signing.fusionai_holds(given, body, one) for one in secrets], "FusionAI-Signature")


def _check_time(text: str, where: str, now: int, tolerance: int) -> None:
    stamp = signing.timestamp(text)
    if stamp is None:
        raise WebhookVerificationError("timestamp", f"{where} has no timestamp")
    if not abs(now - stamp) <= tolerance:
        age = f"{now - stamp:,} s old" if stamp < now else f"{stamp - now:,} s in the future"
        raise WebhookVerificationError("timestamp", f"{where} is {age}; at most {tolerance:,} s are tolerated")


def _check_signed(holds: Sequence[bool], where: str) -> None:
    if not any(holds):
        raise WebhookVerificationError("signature", f"no signature in {where} matches the body and a secret")


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("id"), str):
        raise WebhookVerificationError("body", "the body is not an event")
    return event
