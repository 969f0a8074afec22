"""A framing that puts the reasoning of an answer before it (`include_thinking`), around a dialect's own."""

from producer.waiting.framing import BrokenStream, Framing
from shared.answers.streams import StreamProgress
from shared.answers.thinking import ThinkingChunks


class ThinkingFraming:
    """One stream's frames: the dialect's, made of chunks with their reasoning before the answer."""

    def __init__(self, framing: Framing, progress: StreamProgress) -> None:
        self._framing = framing
        self._chunks = ThinkingChunks(progress, keeps=framing.keeps_thoughts)
        self.media_type = framing.media_type
        self.keeps_thoughts = framing.keeps_thoughts

    def chunk(self, chunk: bytes, event_id: str | None) -> bytes:
        """The dialect's frames of a chunk."""
        return self._framing.chunk(self._chunks.dress(chunk), event_id)

    def end(self) -> bytes:
        """The dialect's."""
        return self._framing.end()

    def error(self, fault: BrokenStream) -> bytes:
        """The dialect's."""
        return self._framing.error(fault)

    def comment(self) -> bytes:
        """The dialect's."""
        return self._framing.comment()
