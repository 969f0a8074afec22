"""Before a stream: its limits, whether the job is one to stream, and whether one that is resumed can be."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select

from shared.answers.streams import FROM_RESULT, EventId
from shared.db.models import jobs
from shared.errors import Conflict, FusionError, InvalidRequest, NotFound
from shared.jobs.outcomes import TERMINAL
from shared.key_holders import KeyHolder
from shared.objects.addresses import stream_url

#: A silence before a comment says that we are there, in seconds.
KEEP_ALIVE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """A stream's limits, in seconds: until it is begun, until its first event, and a silence before a comment."""

    begin: float
    first: float
    comment: float = KEEP_ALIVE_SECONDS


class ChatStanding(NamedTuple):
    """How a chat job stands, and what was asked of its answer (`jobs.answer_options`)."""

    status: str
    epoch: int
    options: str | None


def standing(connection: Connection, holder: KeyHolder, job_id: str) -> ChatStanding:
    """How a chat job stands that the holder may see."""
    statement = select(jobs.c.type, jobs.c.status, jobs.c.lease_epoch, jobs.c.answer_options).where(
        jobs.c.id == job_id, jobs.c.account_id == holder.account_id, jobs.c.test == holder.test
    )
    row = connection.execute(statement).first()
    if row is None:
        raise NotFound(f"not found: job {job_id[:100]!r}")
    if row.type != "chat.completion":
        raise InvalidRequest(f"job {job_id} has type {row.type}: only chat completions can be streamed")
    return ChatStanding(row.status, row.lease_epoch, row.answer_options)


def check_resumed(job_id: str, after: EventId, status: str, epoch: int) -> None:
    """Whether the answer that a reader has begun is still the job's."""
    if after.epoch > epoch or (after.count == FROM_RESULT and status not in TERMINAL):
        raise InvalidRequest("Last-Event-ID does not match an event of this stream", param="Last-Event-ID")
    over = status in TERMINAL and status != "succeeded"
    if not over and (after.epoch != epoch or status == "queued"):
        raise broken_off(job_id)


def broken_off(job_id: str) -> FusionError:
    """The worker was lost, or handed the job back, after some of the answer had been read."""
    said = (
        f"the stream of job {job_id} was interrupted and the job was restarted from the beginning; "
        f"read the stream again, without Last-Event-ID, at GET {stream_url(job_id)}"
    )
    return about(job_id, Conflict(said))


def about(job_id: str, error: FusionError) -> FusionError:
    """An error of an accepted job."""
    error.job_id = job_id
    return error
