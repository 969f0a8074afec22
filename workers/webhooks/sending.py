"""One send of a delivery: signed, cut off at its time, and with a result whatever becomes of it."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from shared import clock, logs
from shared.objects.events import event_object
from shared.settings import settings
from shared.webhooks import signing
from workers.webhooks import traced
from workers.webhooks.client import SendResult, WebhookClient, attempt, timed_out
from workers.webhooks.receivers import SLOW_SECONDS
from workers.webhooks.send_slots import SendSlot

log = logging.getLogger(__name__)


async def send(
    client: WebhookClient, row: Mapping[str, Any], slot: SendSlot, move_to_slow: Callable[[], object]
) -> SendResult:
    """The answer, whatever becomes of the send; one that is waited for too long comes to count as a slow one."""
    loop, began = asyncio.get_running_loop(), clock.monotonic()
    slow = None
    if slot.kind in ("quick", "fresh"):
        slow = loop.call_later(SLOW_SECONDS[slot.kind], move_to_slow)
    try:
        async with asyncio.timeout(seconds := settings().webhook_timeout_seconds) as limit:
            slot.cut = lambda: limit.reschedule(loop.time())
            return await _post(client, row, seconds)
    except TimeoutError:
        return timed_out(clock.monotonic() - began)
    except Exception as error:  # what is not recorded would be tried for ever
        log.warning("sending a webhook delivery failed: %s", logs.kind(error))
        seconds = clock.monotonic() - began
        return SendResult(None, b"", seconds, "internal", f"sending failed ({type(error).__name__})")
    finally:
        if slow is not None:
            slow.cancel()
        slot.cut = None


async def _post(client: WebhookClient, row: Mapping[str, Any], seconds: float) -> SendResult:
    body = orjson.dumps(event_object(row))
    signed = signing.headers(row["id"], body, clock.now_seconds(), row["secrets"])
    wanted = {"content-type": "application/json", **signed}
    with traced.send(row) as span:
        answer = await attempt(client, row["url"], body, wanted, seconds)
        traced.sent(span, answer)
        return answer
