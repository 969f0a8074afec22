"""Sends a file of jobs and awaits their ends, without buying anything twice when it is run again."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from producer import jobfile
from producer.client import TERMINAL, ApiError, FusionAI, Job
from producer.jobfile import Line

#: Jobs a look: what GET /jobs?ids= takes.
_LOOK_JOBS = 100
#: How long one waiting call may hold up the looks at the others.
_WAIT_SECONDS = 2.0
#: After so many looks in a row without news comes a waiting call (see `_patience`).
_BARREN_LOOKS = 3


class RefusedError(Exception):
    """The server refused a chunk; nothing of that chunk was accepted, what was sent before it was."""


@dataclass
class Tally:
    """How it stands."""

    total: int
    accepted: int = 0
    done: int = 0
    succeeded: int = 0
    credits: Decimal = Decimal(0)
    extra_attempts: int = 0

    @property
    def failed(self) -> int:
        return self.done - self.succeeded

    def add(self, job: Job) -> None:
        usage = job.get("usage") or {}
        self.done += 1
        self.succeeded += job["status"] == "succeeded"
        self.credits += Decimal(str(usage.get("credits_used") or 0))
        self.extra_attempts += max(0, len(job.get("attempts") or []) - 1)


class FileRun:
    """One file's jobs: sent in order, followed to their ends, written in the file's order."""

    def __init__(self, client: FusionAI, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.tally = Tally(len(lines))
        self.accepted: list[str] = []
        self._client = client
        self._ended: dict[str, Job] = {}

    def send(self, key_of: Callable[[int], str], told: Callable[[Tally], None] = lambda tally: None) -> None:
        """Submit every line, chunk by chunk, each under its own key; `told` after every chunk."""
        for number, chunk in enumerate(jobfile.chunks(self.lines)):
            try:
                jobs = self._client.submit_many([line.job for line in chunk], idempotency_key=key_of(number))
            except ApiError as error:
                raise RefusedError(self._explain(error, chunk)) from error
            self.accepted += [job["id"] for job in jobs]
            self.tally.accepted = len(self.accepted)
            told(self.tally)

    def wait(self, told: Callable[[Tally], None] = lambda tally: None) -> None:
        """Look at the unfinished jobs until there are none; `told` after every look."""
        pending = deque(self.accepted)
        barren = 0
        while pending:
            look = [pending.popleft() for _ in range(min(_LOOK_JOBS, len(pending)))]
            unfinished = self._look(look)
            barren = barren + 1 if len(unfinished) == len(look) else 0
            pending.extend(unfinished)
            told(self.tally)
            if pending and barren >= _patience(len(pending)):
                self._await(pending)
                barren = 0
                told(self.tally)

    def ended(self) -> list[Job]:
        """The jobs, in the order of the input, once `wait` has returned."""
        return [self._ended[id] for id in self.accepted]

    def rows(self) -> Iterator[dict[str, Any]]:
        """The output file's lines, in the order of the input."""
        for line, id in zip(self.lines, self.accepted, strict=True):
            job = self._ended[id]
            yield {
                "custom_id": line.custom_id,
                "job_id": id,
                "status": job["status"],
                "response": job.get("result"),
                "error": job.get("error"),
                "usage": job.get("usage"),
                "attempts": len(job.get("attempts") or []),
            }

    def _look(self, ids: Sequence[str]) -> list[str]:
        """Take in those that have ended; the others."""
        for job in self._client.jobs_by_id(ids):
            self._take(job)
        return [id for id in ids if id not in self._ended]

    def _await(self, pending: deque[str]) -> None:
        """Hold a waiting call for the oldest; it goes to the back so that the next wait is for another."""
        oldest = pending.popleft()
        if not self._take(self._client.job(oldest, wait=_WAIT_SECONDS)):
            pending.append(oldest)

    def _take(self, job: Job) -> bool:
        if job["status"] not in TERMINAL:
            return False
        if job["id"] not in self._ended:
            self._ended[job["id"]] = job if "result" in job else self._client.job(job["id"])
            self.tally.add(self._ended[job["id"]])
        return True

    def _explain(self, error: ApiError, chunk: Sequence[Line]) -> str:
        place = re.match(r"jobs\[(\d+)\]", error.param or "")
        where, message = "", error.message
        if place and int(place[1]) < len(chunk):
            where = f"line {chunk[int(place[1])].number}: "
            message = message.replace(f"{place[0]}.", "", 1)
        before = len(self.accepted)
        kept = f"\n{before:,} jobs before it were accepted and run on; they are not bought again." if before else ""
        return f"{where}{message} ({error.status} {error.type}){kept}"


def _patience(pending: int) -> int:
    """Looks without news before a waiting call: a quarter of a whole round, three at least, but never over a round."""
    whole_round = -(-pending // _LOOK_JOBS)
    return min(whole_round, max(_BARREN_LOOKS, whole_round // 4))
