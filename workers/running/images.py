"""Stores the images of a result, and puts links to them in the place of base64 where links were asked for.

An image that was made has been paid for, so storage that is away is tried again for a while; each try has a limit,
since storage may also hang. While it is known to be away, nothing more is drawn.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from shared import clock
from shared.errors import ProviderError, StorageAway
from shared.files import blobs, images
from workers.providers import ProviderAnswer, ProviderCall

R = TypeVar("R")

#: For how long keeping an image is tried, in all and at once, in seconds.
KEEP_SECONDS = 12.0
TRY_SECONDS = 6.0
#: Pauses between two tries, in seconds: the first; each is twice as long as the one before, up to the last.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 5.0

#: What waits for storage has threads of its own: they may all hang.
_threads = ThreadPoolExecutor(8, thread_name_prefix="images")


class ImageKeeper:
    """One process's keeping of images."""

    def __init__(self) -> None:
        #: Storage was away when last asked.
        self._away = False

    async def put_links(self, call: ProviderCall, answer: ProviderAnswer, *, of_batch: bool) -> None:
        """Put signed links in the place of base64, when links were asked for. Images are kept on disk by then.

        StorageAway when they could not be; ProviderError when one of them is no base64. Each name is a fresh one: a
        stale worker's late image replaces nobody's.
        """
        rows = [row for row in answer.body["data"] if "b64_json" in row]
        contents = await asyncio.to_thread(lambda: [_decoded(row["b64_json"]) for row in rows])
        if links(call.request):
            await self._link(call, rows, contents, of_batch=of_batch)
        wanted = call.request.get("response_format", "url")
        if "response_format" in answer.ignored and all(wanted in row for row in answer.body["data"]):
            answer.ignored.remove("response_format")

    async def _link(
        self, call: ProviderCall, rows: Sequence[dict[str, Any]], contents: Sequence[bytes], *, of_batch: bool
    ) -> None:
        until = clock.monotonic() + KEEP_SECONDS
        for index, (row, content) in enumerate(zip(rows, contents, strict=True)):
            stem = f"{call.job_id}-{index}-{clock.new_id('p')}"
            name = await self._insist(partial(_put, stem, content, of_batch), until)
            row["url"] = images.link(name, of_batch=of_batch)
            del row["b64_json"]

    async def ready(self) -> bool:
        """Whether an image could be kept, as far as is known; asked for anew after it could not."""
        if self._away:
            try:
                await self._once(_probe, TRY_SECONDS)
            except StorageAway:
                return False
        return True

    async def _insist(self, work: Callable[[], R], until: float) -> R:
        pause = FIRST_PAUSE_SECONDS
        while True:
            left = until - clock.monotonic()
            try:
                return await self._once(work, min(TRY_SECONDS, left))
            except StorageAway:
                if clock.monotonic() + pause >= until:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _once(self, work: Callable[[], R], seconds: float) -> R:
        """One try; what fails but by our own fault is storage that is away."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                made = await asyncio.get_running_loop().run_in_executor(_threads, work)
        except (StorageAway, OSError) as error:  # a TimeoutError is one
            self._away = True
            raise StorageAway from error
        self._away = False
        return made


def links(request: dict[str, Any]) -> bool:
    """Whether the images that are asked for are to be kept here."""
    return bool(request.get("response_format", "url") == "url")


def _probe() -> None:
    with blobs.writer("images/probe") as file:
        file.write(b"?")


def _put(stem: str, content: bytes, of_batch: bool) -> str:
    return images.put(stem, content, of_batch=of_batch)


def _decoded(encoded: Any) -> bytes:
    """The bytes of a picture; ProviderError for a broken or an empty one, which is not delivered, and not charged."""
    with suppress(binascii.Error, ValueError, TypeError):
        if content := base64.b64decode(encoded, validate=True):
            return content
    raise ProviderError("the image from the provider is not valid base64", upstream_status=200, code="protocol")
