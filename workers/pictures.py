"""Makes an image result what was asked for: links on this server where the provider sent base64."""

import asyncio
import base64
import binascii
from typing import Any

from shared import pictures
from shared.errors import ProviderError
from workers.providers import Answer, Ask


async def dress(ask: Ask, answer: Answer, *, of_batch: bool) -> None:
    """Put signed links in the place of base64, when links were asked for. Pictures are kept on disk by then.

    They are named by job and index, so that a job that runs again replaces its own.
    """
    wanted = ask.request.get("response_format", "url")
    if wanted == "url":
        await _link(ask, answer, of_batch=of_batch)
    if "response_format" in answer.ignored and all(wanted in row for row in answer.body["data"]):
        answer.ignored.remove("response_format")


async def _link(ask: Ask, answer: Answer, *, of_batch: bool) -> None:
    for index, row in enumerate(answer.body["data"]):
        if "b64_json" in row:
            row["url"] = await asyncio.to_thread(_keep, f"{ask.job_id}-{index}", row.pop("b64_json"), of_batch)


def _keep(stem: str, encoded: Any, of_batch: bool) -> str:
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise ProviderError("the provider's picture is not base64", upstream_status=200, code="protocol") from None
    return pictures.link(pictures.put(stem, content, of_batch=of_batch), of_batch=of_batch)
