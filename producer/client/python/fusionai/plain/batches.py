"""The client's calls of files and batches."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, Unpack, cast

import httpx

from fusionai.plain.asked import BatchOptions, Json, Page
from fusionai.plain.atomic_file import atomic_write
from fusionai.plain.objects import BATCH_OVER, Batch, BatchProgress, BatchResult, DryRun, File
from fusionai.plain.transport import ApiError, Transport, is_passing, retry_after
from shared import clock

#: The first pause between two looks at a batch, and the longest; each is a quarter longer than the one before.
_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.25, 2.0
#: The server's answer to a whole file, once it has all of it.
_FILE_SECONDS = 120.0

W = TypeVar("W", Batch, BatchProgress)
Failure = httpx.TransportError | ApiError


class BatchCalls(Transport):
    """What `PlainClient` can do with files and batches."""

    def upload(
        self,
        source: str | Path | BinaryIO,
        filename: str | None = None,
        *,
        expires_seconds: int | None = None,
        idempotency_key: str | None = None,
    ) -> File:
        """Upload a file of batch lines, streamed; a `source` stream is sent from its beginning and must be seekable."""
        if isinstance(source, str | Path):
            with open(source, "rb") as stream:
                return self.upload(
                    stream,
                    filename or Path(source).name,
                    expires_seconds=expires_seconds,
                    idempotency_key=idempotency_key,
                )
        if not source.seekable():
            raise ValueError("a stream that cannot be rewound cannot be sent again: give a file")
        data = {"purpose": "batch"}
        if expires_seconds is not None:
            data |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(expires_seconds)}
        part = (filename or Path(str(getattr(source, "name", "batch.jsonl"))).name, source, "application/jsonl")
        headers = {"Idempotency-Key": idempotency_key or clock.new_id("idem")}
        # Every try encodes the form anew, which begins by rewinding the stream.
        made: File = self._send(
            "POST",
            "/files",
            data=data,
            files={"file": part},
            headers=headers,
            timeout=max(self._timeout, _FILE_SECONDS),
        )
        return made

    def files(self, *, limit: int = 20, after: str | None = None, purpose: str | None = None) -> Page:
        """A page of the files, the newest first."""
        return self._page("/files", limit=limit, after=after, purpose=purpose)

    def file(self, id: str) -> File:
        found: File = self.get(f"/files/{id}")
        return found

    def download(self, file_id: str, target: str | Path) -> int:
        """Write a file's bytes to `target`, whole or not at all; how many."""
        with atomic_write(Path(target)) as stream:
            return self.copy(file_id, stream)

    def copy(self, file_id: str, target: BinaryIO, *, received: Callable[[int], object] = lambda received: None) -> int:
        """Write a file's bytes to an empty stream that can be rewound; returns how many.

        `received` is called with the number of bytes that are there.
        """
        return self._fetch(f"/files/{file_id}/content", target, received)

    def delete_file(self, id: str) -> Json:
        gone: Json = self._send("DELETE", f"/files/{id}")
        return gone

    def create_batch(
        self,
        input_file_id: str | None = None,
        *,
        requests: Sequence[Mapping[str, Any]] | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[BatchOptions],
    ) -> Batch:
        """Make a batch of an uploaded file's lines, or of `requests`: `{"custom_id", "url", "body"}` each."""
        return self.create_or_replay_batch(_batch_body(input_file_id, requests, options), idempotency_key)[0]

    def create_or_replay_batch(self, body: Mapping[str, Any], idempotency_key: str | None) -> tuple[Batch, bool]:
        """The batch as it was when it was made, and whether an earlier request with this key made it."""
        made, replayed = self.post_or_replay("/batches", body, idempotency_key)
        return cast(Batch, made), replayed

    def dry_run(
        self,
        input_file_id: str | None = None,
        *,
        requests: Sequence[Mapping[str, Any]] | None = None,
        **options: Unpack[BatchOptions],
    ) -> DryRun:
        """What is wrong with a batch and what it would cost at most; nothing is made."""
        body = {**_batch_body(input_file_id, requests, options), "dry_run": True}
        verdict: DryRun = self.post("/batches", body, timeout=max(self._timeout, _FILE_SECONDS))
        return verdict

    def batch(self, id: str) -> Batch:
        found: Batch = self.get(f"/batches/{id}")
        return found

    def batches(
        self,
        *,
        limit: int = 20,
        after: str | None = None,
        status: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Page:
        """A page of the batches, the newest first; of one status, with these labels."""
        labels = {f"metadata.{name}": value for name, value in (metadata or {}).items()}
        return self._page("/batches", limit=limit, after=after, status=status, **labels)

    def every_batch(self) -> Iterator[Batch]:
        """All batches, page by page."""
        return cast(Iterator[Batch], self._every("/batches"))

    def cancel_batch(self, id: str) -> Batch:
        """Have no more of its lines begin; those that have an answer keep it."""
        answer: Batch = self.post(f"/batches/{id}/cancel", {})
        return answer

    def progress(self, id: str) -> BatchProgress:
        """How a batch is getting on, by provider, and why lines failed."""
        found: BatchProgress = self.get(f"/batches/{id}/progress")
        return found

    def batch_errors(self, id: str) -> Json:
        """Why lines of a batch did not succeed, grouped by reason, so far."""
        found: Json = self.get(f"/batches/{id}/errors")
        return found

    def progress_or_none(self, id: str) -> BatchProgress | None:
        """The same, or None from a server that does not have it."""
        try:
            return self.progress(id)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def retry_batch(
        self, id: str, reasons: Sequence[str] = (), idempotency_key: str | None = None
    ) -> tuple[Batch, bool]:
        """A new batch of the failed and expired lines, or of those with one of `reasons`; and as with a replay."""
        body = {"reasons": list(reasons)} if reasons else {}
        made, replayed = self.post_or_replay(f"/batches/{id}/retry", body, idempotency_key)
        return cast(Batch, made), replayed

    def retry_dry_run(self, id: str, reasons: Sequence[str] = ()) -> DryRun:
        """What a retry of these lines would cost at most; nothing is made."""
        body = {"reasons": list(reasons)} if reasons else {}
        verdict: DryRun = self.post(f"/batches/{id}/retry", {**body, "dry_run": True})
        return verdict

    def wait_batch(
        self,
        id: str,
        on_update: Callable[[Batch], object] = lambda batch: None,
        timeout: float | None = None,
        *,
        on_failure: Callable[[Failure], object] = lambda error: None,
    ) -> Batch:
        """Look at a batch until it is over; `on_update` after every look, TimeoutError after `timeout` seconds.

        A server that cannot be reached or is busy is asked again for as long as it takes, after a call of `on_failure`.
        """
        return self._watch(
            id, lambda: cast(Batch, self._once("GET", f"/batches/{id}").json()), on_update, on_failure, timeout
        )

    def wait_progress(
        self,
        id: str,
        on_update: Callable[[BatchProgress], object],
        *,
        on_failure: Callable[[Failure], object] = lambda error: None,
    ) -> BatchProgress:
        """The same by its progress; of a server that does not know that, by the batch, without providers."""
        paths = [f"/batches/{id}/progress", f"/batches/{id}"]

        def look() -> BatchProgress:
            try:
                found = self._once("GET", paths[0]).json()
            except ApiError as error:
                if error.status != 404 or len(paths) == 1:
                    raise
                del paths[0]
                return look()
            return cast(BatchProgress, found if len(paths) == 2 else progress_of(found))

        return self._watch(id, look, on_update, on_failure, None)

    def _watch(
        self,
        id: str,
        look: Callable[[], W],
        on_update: Callable[[W], object],
        on_failure: Callable[[Failure], object],
        timeout: float | None,
    ) -> W:
        deadline = None if timeout is None else clock.monotonic() + timeout
        pause = _FIRST_LOOK_SECONDS
        while True:
            asked = 0.0
            try:
                found = look() if self._is_patient() else self._insist(look)
            except (httpx.TransportError, ApiError) as error:
                if not is_passing(error) or not self._is_patient():
                    raise
                asked = retry_after(error)
                on_failure(error)
            else:
                on_update(found)
                if found["status"] in BATCH_OVER:
                    return found
            if deadline is not None and clock.monotonic() + pause > deadline:
                raise TimeoutError(f"{id} is not over after {timeout:g} s")
            self._pause(max(pause, asked))
            pause = min(pause * 1.25, _LONGEST_LOOK_SECONDS)

    def batch_results(self, batch: Batch) -> Iterator[BatchResult]:
        """The lines of its output file, then of its error file; a file is fetched whole, to disk, before its first."""
        for file_id in (batch["output_file_id"], batch["error_file_id"]):
            if file_id is not None:
                with tempfile.TemporaryFile() as file:
                    self.copy(file_id, cast(BinaryIO, file))
                    file.seek(0)
                    yield from map(json.loads, file)


def progress_of(batch: Batch) -> BatchProgress:
    """What a batch itself says of its progress."""
    ended = [batch["completed_at"], batch["failed_at"], batch["expired_at"], batch["cancelled_at"]]
    return {
        "object": "batch.progress",
        "batch_id": batch["id"],
        "status": batch["status"],
        "request_counts": batch["request_counts"],
        "providers": [],
        "reasons": [],
        "credits_used": batch["credits_used"],
        "waiting_for": batch.get("waiting_for"),
        "waiting_until": batch.get("waiting_until"),
        "created_at": batch["created_at"],
        "finished_at": next((at for at in ended if at), None),
    }


def _batch_body(
    input_file_id: str | None, requests: Sequence[Mapping[str, Any]] | None, options: BatchOptions
) -> dict[str, Any]:
    if (input_file_id is None) == (requests is None):
        raise ValueError("a batch is made of either input_file_id or requests")
    lines = {"requests": list(requests)} if requests is not None else {"input_file_id": input_file_id}
    given = {name: value for name, value in options.items() if value is not None}
    return {**lines, "completion_window": "24h", **given}
