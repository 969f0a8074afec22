"""How a stream is framed: what a dialect makes of each chunk of an answer, of its end and of an error. Pure."""

from dataclasses import dataclass
from typing import Protocol

from shared.batches import json_lines
from shared.errors import FusionError


@dataclass(frozen=True, slots=True)
class BrokenStream:
    """What ends a stream that has begun: the error, what is said of it, and where it may be read on, if it may."""

    error: FusionError
    #: Names the job.
    message: str
    request_id: str
    job_id: str
    last_event_id: str | None = None

    @property
    def place(self) -> dict[str, str]:
        """What every dialect's error says beside the error itself: its message, the job, from where to read on."""
        said = {"message": self.message, "job_id": self.job_id}
        return said if self.last_event_id is None else {**said, "last_event_id": self.last_event_id}


class Framing(Protocol):
    """One stream's frames, as bytes that are sent as they are; none is a frame too."""

    media_type: str
    #: Thoughts have a place of their own in this format, where they stay when they are put before the answer as well.
    keeps_thoughts: bool

    def chunk(self, chunk: bytes, event_id: str | None) -> bytes:
        """A `chat.completion.chunk`, as JSON; `event_id`: for Last-Event-ID, where the reader wants ids."""
        ...

    def end(self) -> bytes:
        """The answer is whole: everything was sent, the usage included."""
        ...

    def error(self, fault: BrokenStream) -> bytes:
        """The stream ends without the rest."""
        ...

    def comment(self) -> bytes:
        """Shows a silent reader that the server is there."""
        ...


def event(data: bytes, *, name: str | None = None, id: str | None = None) -> bytes:
    """A server-sent event of one line of data, safe for every reader of lines."""
    head = (f"id: {id}\n" if id is not None else "") + (f"event: {name}\n" if name is not None else "")
    return head.encode() + b"data: %s\n\n" % json_lines.safe(data)
