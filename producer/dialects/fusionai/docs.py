"""Parts of the document that several routes of this dialect share."""

from typing import Final

from producer.web.call_rows import stream_events
from shared.errors import Forbidden, InsufficientCredits

MAKES_JOBS: Final = (InsufficientCredits, Forbidden)
EVENTS: Final = stream_events("ChatCompletionChunk", "StreamError")
#: Of examples.
HELLO: Final = [{"role": "user", "content": "Explain quantum computing in simple terms"}]
