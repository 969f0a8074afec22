"""A job's answer as a stream of its dialect's frames: live from Redis, ended and completed from the rows.

What goes wrong before a stream is begun is a plain HTTP error; it is begun as soon as there is something to say, and
soon in any case: then comments show that we are there. The end comes only after the job has been settled; any other
end is an error's frame that names the job.
"""

import asyncio
import logging

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from producer.waiting.framing import Framing
from producer.waiting.stream_relay import LEAVE_SECONDS, Sources, StreamRelay
from producer.waiting.stream_starts import StreamLimits, about
from shared.answers import streams
from shared.db import is_away
from shared.errors import Unavailable
from shared.key_holders import KeyHolder
from shared.settings import settings

log = logging.getLogger(__name__)

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def respond(
    sources: Sources,
    job_id: str,
    holder: KeyHolder,
    *,
    include_usage: bool,
    limits: StreamLimits,
    ids: bool,
    framing: Framing,
    last_event_id: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The stream of a chat job that the holder may see, from its beginning or after the event that was read last.

    `ids`: each event has its id, for Last-Event-ID. Raises, with `job_id` set, what a synchronous call would: 504 when
    its caller waits no longer than until the head and there is nothing to send, the job's own error when it has failed
    by then; 409 when the stream that is to be resumed has broken off.
    """
    after = streams.read_event_id(last_event_id, job_id) if last_event_id else None
    relay = StreamRelay(sources, job_id, include_usage=include_usage, limits=limits, ids=ids, framing=framing)
    try:
        await relay.begin(holder, after)
    except BaseException as error:
        relay.close()
        if is_away(error):
            raise about(job_id, Unavailable(f"the database is unavailable; job {job_id} continues")) from None
        raise
    return _Events(relay, {"FusionAI-Job-Id": job_id, **_HEADERS, **(headers or {})})


class _Events(StreamingResponse):
    """The relay's frames; the relay is closed also when the client has gone before the first of them.

    One who neither reads nor goes away holds it for as long as a stream may last, and no longer.
    """

    def __init__(self, relay: StreamRelay, headers: dict[str, str]) -> None:
        super().__init__(relay.frames(), headers=headers, media_type=relay.framing.media_type)
        self._relay = relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._relay.request_id = scope.get("request_id", "")
        try:
            async with asyncio.timeout(self._relay.limits.first + settings().stream_seconds + 2 * LEAVE_SECONDS):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            log.info("request %s: stream closed because the client does not read it", self._relay.request_id)
        finally:
            self._relay.close()
