"""The course of `fusionai.batch`, as steps that a client takes, synchronously or not. Pure."""

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from fusionai import batch_parts
from fusionai.batch_parts import BatchResult, Cutter, Part, Tally

#: What a step is sent back for which there is nothing: no more requests, a file that is gone, no such list.
NOTHING: Final = object()


@dataclass(frozen=True)
class Take:
    """Wanted: the next request, or NOTHING where there are no more."""


@dataclass(frozen=True)
class Cheap:
    """Wanted: the models that have a cheaper tier."""


@dataclass(frozen=True)
class Make:
    """Wanted: the batch of this part, and whether it had been made before; NOTHING where its file is gone."""

    part: Part
    file_key: str
    batch_key: str


@dataclass(frozen=True)
class Look:
    """Wanted: a batch as it is now, as JSON, or the error of a look that may succeed later."""

    batch_id: str


@dataclass(frozen=True)
class Early:
    """Wanted: a page of the results that are there, an error that may pass, or NOTHING: there is no such list."""

    batch_id: str
    after: str | None


@dataclass(frozen=True)
class Read:
    """Wanted: a file, open at its beginning, or an error that may pass."""

    file_id: str


@dataclass(frozen=True)
class Pause:
    """Nothing is wanted for so many seconds."""

    seconds: float


Step = Take | Cheap | Make | Look | Early | Read | Pause | BatchResult
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
        looked = []
        for part in [*course.flying]:
            looked.append((part, (yield from _look(part))))
        now = course.tally()
        if now.completed + now.failed and now != last:
            last = now
            on_progress(now)
        more = False
        for part, batch in looked:
            if batch is not None and batch["status"] in batch_parts.OVER:
                yield from _results(course, part, batch)
                more = True
            elif batch is not None:
                more |= yield from _early(part)
        if began or more:
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
        request: Any = yield Take()
        if request is NOTHING:
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
    """The batch of these requests, made or found; one that was found and had failed cost nothing: it is made anew.

    A file that was found and has been deleted since is uploaded again.
    """
    files = batches = 0
    while True:
        keys = (
            part.key(f"file {files}" if files else "file", course.salt),
            part.key(f"batch {batches}", course.salt),
        )
        made = yield Make(part, *keys)
        if made is NOTHING:
            files += 1
            continue
        part.batch_id, found = made
        if not found:
            return
        batch = yield from _look(part)
        if batch is None or batch["status"] != "failed":
            return
        batches += 1


def _look(part: Part) -> Generator[Step, Any, Mapping[str, Any] | None]:
    """The batch; None where that is not known at present: hours of work are not given up for a server that is away."""
    looked = yield Look(part.batch_id)
    if isinstance(looked, Exception):
        return None
    counts = looked["request_counts"]
    part.completed, part.failed = counts["completed"], counts["failed"]
    batch: Mapping[str, Any] = looked
    return batch


def _early(part: Part) -> Generator[Step, Any, bool]:
    """The results of lines that have ended, as many as the counts say there are; whether there are more at once."""
    for _ in range(batch_parts.MOST_PAGES):
        if not part.listed or part.given >= part.completed + part.failed:
            return False
        page = yield Early(part.batch_id, part.after)
        part.listed = page is not NOTHING
        if not isinstance(page, Mapping):
            return False
        for line in page["data"]:
            if (result := part.take(line)) is not None:
                yield result
        if not page["has_more"] or page["last_id"] == part.after:
            part.after = page["last_id"] or part.after
            return False
        part.after = page["last_id"]
    return True


def _results(course: Course, part: Part, batch: Mapping[str, Any]) -> Steps:
    """What has not been given of a batch that is over."""
    if batch["status"] == "failed":
        raise Refused(batch)
    for file_id in (batch["output_file_id"], batch["error_file_id"]):
        if file_id and part.waiting:
            file = yield from _read(file_id)
            with closing(file):
                for line in batch_parts.lines(file):
                    if (result := part.take(line)) is not None:
                        yield result
    yield from part.rest(batch["status"])
    course.flying.remove(part)
    course.completed += part.completed
    course.failed += part.failed


def _read(file_id: str) -> Generator[Step, Any, Any]:
    pause = batch_parts.FIRST_LOOK
    while isinstance(file := (yield Read(file_id)), Exception):
        yield Pause(pause)
        pause = min(pause * 2, batch_parts.LONGEST_LOOK)
    return file
