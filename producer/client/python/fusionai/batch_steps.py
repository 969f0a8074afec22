"""The course of `fusionai.batch`, as steps that a client takes, synchronously or not. Pure."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fusionai import batch_parts
from fusionai.batch_parts import BatchResult, Cutter, Part, Request, Tally


@dataclass(frozen=True)
class Take:
    """Wanted: the next request, or None where there are no more."""


@dataclass(frozen=True)
class Cheap:
    """Wanted: the models that have a cheaper tier."""


@dataclass(frozen=True)
class Make:
    """Wanted: the batch of this part, and whether it had been made before."""

    part: Part
    file_key: str
    batch_key: str


@dataclass(frozen=True)
class Look:
    """Wanted: a batch as it is now, as JSON, or the error of a look that may succeed later."""

    batch_id: str


@dataclass(frozen=True)
class Read:
    """Wanted: the bytes of a file."""

    file_id: str


@dataclass(frozen=True)
class Pause:
    """Nothing is wanted for so many seconds."""

    seconds: float


Step = Take | Cheap | Make | Look | Read | Pause | BatchResult
#: Steps to take; each is sent back what it wants. A result is given to the caller.
Steps = Generator[Step, Any, None]


@dataclass
class Course:
    """Where all of it stands."""

    cutter: Cutter
    salt: str
    wants_cheap: bool
    poll_seconds: float | None
    flying: list[Part] = field(default_factory=list)
    completed: int = 0
    failed: int = 0
    exhausted: bool = False

    def tally(self) -> Tally:
        """The sums, of the parts that are over and of those under way."""
        completed = self.completed + sum(part.completed for part in self.flying)
        failed = self.failed + sum(part.failed for part in self.flying)
        return Tally(completed, failed, self.cutter.taken)


class Refused(Exception):
    """A batch failed as a whole."""

    def __init__(self, batch: Mapping[str, Any]) -> None:
        super().__init__(batch["id"])
        self.batch = batch


def steps(course: Course, on_progress: Any) -> Steps:
    """All steps from the first request to the last result."""
    pause, last = course.poll_seconds or batch_parts.FIRST_LOOK, Tally(0, 0, 0)
    while True:
        began = yield from _begin(course)
        if not course.flying:
            return
        ended = []
        for part in [*course.flying]:
            batch = yield from _look(part)
            if batch is not None and batch["status"] in batch_parts.OVER:
                ended.append((part, batch))
        now = course.tally()
        if now.completed + now.failed and now != last:
            last = now
            on_progress(now)
        for part, batch in ended:
            yield from _results(course, part, batch)
        if began or ended:
            pause = course.poll_seconds or batch_parts.FIRST_LOOK
        else:
            yield Pause(pause)
            pause = course.poll_seconds or min(pause * 1.25, batch_parts.LONGEST_LOOK)


def _begin(course: Course) -> Generator[Step, Any, bool]:
    """Make the next batch, where there is room and there are requests; whether one was made."""
    if course.exhausted or len(course.flying) >= batch_parts.MOST_FLYING:
        return False
    part = None
    while part is None and not course.exhausted:
        request: Request | None = yield Take()
        if request is None:
            course.exhausted = True
            part = course.cutter.rest()
        else:
            if not course.cutter.taken and course.wants_cheap:
                course.cutter.cheap = yield Cheap()
            part = course.cutter.add(request)
    if part is None:
        return False
    yield from _make(course, part)
    part.content = b""
    course.flying.append(part)
    return True


def _make(course: Course, part: Part) -> Steps:
    """The batch of these requests, made or found; one that was found and had failed cost nothing: it is made anew."""
    number = 0
    while True:
        keys = part.key("file", course.salt), part.key(f"batch {number}", course.salt)
        part.batch_id, found = yield Make(part, *keys)
        if not found:
            return
        batch = yield from _look(part)
        if batch is None or batch["status"] != "failed":
            return
        number += 1


def _look(part: Part) -> Generator[Step, Any, Mapping[str, Any] | None]:
    """The batch, or None where that is not known at present; the error, where it has not been for long."""
    looked = yield Look(part.batch_id)
    if isinstance(looked, Exception):
        part.failed_looks += 1
        if part.failed_looks >= batch_parts.MOST_FAILED_LOOKS:
            raise looked
        return None
    part.failed_looks = 0
    counts = looked["request_counts"]
    part.completed, part.failed = counts["completed"], counts["failed"]
    batch: Mapping[str, Any] = looked
    return batch


def _results(course: Course, part: Part, batch: Mapping[str, Any]) -> Steps:
    if batch["status"] == "failed":
        raise Refused(batch)
    files: Sequence[str] = [id for id in (batch["output_file_id"], batch["error_file_id"]) if id]
    contents = []
    for id in files:
        contents.append((yield Read(id)))
    course.flying.remove(part)
    course.completed += part.completed
    course.failed += part.failed
    yield from batch_parts.results(part, batch["status"], contents)
