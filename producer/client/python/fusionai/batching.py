"""`fusionai.batch`: requests in, results out as they finish; run again after a crash it goes on with the same batches.

Nothing is kept on this machine: each part of the requests is a batch under a key that depends on what it asks, so the
same requests find the batches that were made of them (for eight days), and pay for nothing twice.
"""

import tempfile
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from typing import IO, Any

import anyio
from openai import APIConnectionError, APIStatusError, omit
from openai._httpx2 import request_exceptions

from fusionai import batch_parts
from fusionai.batch_parts import BatchResult as BatchResult
from fusionai.batch_parts import Cutter, Request, Tally, Tier
from fusionai.batch_steps import NOTHING, Cheap, Course, Early, Look, Make, Pause, Read, Refused, Step, Take, steps
from fusionai.client import AsyncFusionAI, FusionAI
from fusionai.errors import BatchFailedError, NotFoundError, UnexpectedAnswerError
from fusionai.objects import Batch, Model

Progress = Callable[[Tally], object]
Metadata = Mapping[str, str] | None


def batch(
    requests: Iterable[Request],
    *,
    client: FusionAI | None = None,
    key: str = "",
    completion_window: str = "24h",
    tier: Tier = "auto",
    lines_per_batch: int | None = None,
    metadata: Metadata = None,
    on_progress: Progress = lambda tally: None,
    poll_seconds: float | None = None,
) -> Iterator[BatchResult]:
    """A result for each request, as it is there.

    `requests`: `{"body": {…}, "custom_id"?, "url"?}`, of a chat unless the url says else; taken as they are needed.
    `key`: another key makes other batches of the same requests. `tier`: `auto` asks for the cheaper tier of the models
    that have one where the window is four hours or longer; `default` leaves bodies as they are. `lines_per_batch`: else
    100 in the first, twice as many in each after it, up to 10,000.
    BatchFailedError where a batch is refused as a whole. Call it again with the same requests to go on after a crash.
    """
    course, spec = _course(key, completion_window, tier, lines_per_batch, poll_seconds), (completion_window, metadata)
    left, taken, back = iter(requests), steps(course, on_progress), None
    with ExitStack() as stack:
        caller = client or stack.enter_context(FusionAI())
        while (step := _next(taken, back)) is not NOTHING:
            back = None
            if isinstance(step, BatchResult):
                yield step
            elif isinstance(step, Take):
                back = next(left, NOTHING)
            elif isinstance(step, Pause):
                time.sleep(step.seconds)
            else:
                back = _take(caller, step, *spec)


async def abatch(
    requests: Iterable[Request] | AsyncIterable[Request],
    *,
    client: AsyncFusionAI | None = None,
    key: str = "",
    completion_window: str = "24h",
    tier: Tier = "auto",
    lines_per_batch: int | None = None,
    metadata: Metadata = None,
    on_progress: Progress = lambda tally: None,
    poll_seconds: float | None = None,
) -> AsyncIterator[BatchResult]:
    """As `batch`, asynchronously."""
    course, spec = _course(key, completion_window, tier, lines_per_batch, poll_seconds), (completion_window, metadata)
    left, taken, back = _async_iterator(requests), steps(course, on_progress), None
    async with AsyncExitStack() as stack:
        caller = client if client is not None else await stack.enter_async_context(AsyncFusionAI())
        while (step := _next(taken, back)) is not NOTHING:
            back = None
            if isinstance(step, BatchResult):
                yield step
            elif isinstance(step, Take):
                back = await anext(left, NOTHING)
            elif isinstance(step, Pause):
                await anyio.sleep(step.seconds)
            else:
                back = await _take_async(caller, step, *spec)


def _next(taken: Any, back: Any) -> Any:
    """The next step; NOTHING after the last one."""
    try:
        return taken.send(back)
    except StopIteration:
        return NOTHING
    except Refused as refused:
        raise _failed(refused) from None


def _take(client: FusionAI, step: Step, completion_window: str, metadata: Metadata) -> Any:
    """Do what a step says, and return what it wants."""
    patient = client.with_options(timeout=batch_parts.FILE_SECONDS)
    if isinstance(step, Cheap):
        return frozenset(model.id for model in client.models.list(limit=100) if _is_cheap(model))
    if isinstance(step, Make):
        file = patient.files.create(**_upload(step))
        try:
            made = client.batches.with_raw_response.create(**_spec(step, file.id, completion_window, metadata))
        except APIStatusError as error:
            if _may_be_gone(error) and _is_missing(lambda: client.files.retrieve(file.id)):
                return NOTHING
            raise
        return made.parse().id, _is_replayed(made.headers)
    try:
        if isinstance(step, Look):
            return client.get(f"/batches/{step.batch_id}", cast_to=Batch).to_dict()
        if isinstance(step, Early):
            return client.get(_results_of(step), cast_to=object, options={"params": _place(step)})
        assert isinstance(step, Read)
        content = _spool()
        with patient.files.with_streaming_response.content(step.file_id) as read:
            for piece in read.iter_bytes():
                content.write(piece)
        return _whole(content)
    except _failures() as error:
        return _passing(step, error)


async def _take_async(client: AsyncFusionAI, step: Step, completion_window: str, metadata: Metadata) -> Any:
    """The same, asynchronously."""
    patient = client.with_options(timeout=batch_parts.FILE_SECONDS)
    if isinstance(step, Cheap):
        return frozenset([model.id async for model in client.models.list(limit=100) if _is_cheap(model)])
    if isinstance(step, Make):
        file = await patient.files.create(**_upload(step))
        try:
            made = await client.batches.with_raw_response.create(**_spec(step, file.id, completion_window, metadata))
        except APIStatusError as error:
            if _may_be_gone(error) and await _is_missing_async(lambda: client.files.retrieve(file.id)):
                return NOTHING
            raise
        return made.parse().id, _is_replayed(made.headers)
    try:
        if isinstance(step, Look):
            return (await client.get(f"/batches/{step.batch_id}", cast_to=Batch)).to_dict()
        if isinstance(step, Early):
            return await client.get(_results_of(step), cast_to=object, options={"params": _place(step)})
        assert isinstance(step, Read)
        content = _spool()
        async with patient.files.with_streaming_response.content(step.file_id) as read:
            async for piece in read.iter_bytes():
                content.write(piece)
        return _whole(content)
    except _failures() as error:
        return _passing(step, error)


def _course(key: str, window: str, tier: Tier, lines: int | None, poll_seconds: float | None) -> Course:
    return Course(Cutter(lines), key, batch_parts.wants_cheap(tier, window), poll_seconds)


def _upload(step: Make) -> dict[str, Any]:
    file = (f"batch-{step.part.number}.jsonl", step.part.content, "application/jsonl")
    return {"file": file, "purpose": "batch", "extra_headers": {"Idempotency-Key": step.file_key}}


def _spec(step: Make, file_id: str, completion_window: str, metadata: Metadata) -> dict[str, Any]:
    """A batch whose lines may be of different kinds: it names no endpoint, which OpenAI's own demand."""
    return {
        "input_file_id": file_id,
        "completion_window": completion_window,
        "endpoint": omit,
        "metadata": omit if metadata is None else dict(metadata),
        "extra_headers": {"Idempotency-Key": step.batch_key},
    }


def _is_replayed(headers: Mapping[str, str]) -> bool:
    return headers.get("Idempotent-Replayed") == "true"


def _is_cheap(model: Model) -> bool:
    return batch_parts.CHEAP_TIER in (model.price.service_tiers or {})


def _failures() -> tuple[type[Exception], ...]:
    """What may become of a look or of reading, also in the middle of a body."""
    return APIConnectionError, APIStatusError, UnexpectedAnswerError, *request_exceptions()


def _results_of(step: Early) -> str:
    return f"/batches/{step.batch_id}/results"


def _place(step: Early) -> dict[str, Any]:
    return {"limit": 100} if step.after is None else {"limit": 100, "after": step.after}


def _spool() -> IO[bytes]:
    """On disk, not in memory: results of embeddings are many megabytes."""
    return tempfile.TemporaryFile()


def _whole(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    return file


def _may_be_gone(error: APIStatusError) -> bool:
    return error.status_code in (400, 404, 422)


def _is_missing(look: Callable[[], Any]) -> bool:
    try:
        look()
    except NotFoundError:
        return True
    return False


async def _is_missing_async(look: Callable[[], Awaitable[Any]]) -> bool:
    try:
        await look()
    except NotFoundError:
        return True
    return False


def _passing(step: Step, error: Exception) -> Any:
    """An error after which another try may succeed; any other is raised, but of a list that this server lacks."""
    if not isinstance(error, APIStatusError) or error.status_code >= 500 or error.status_code == 429:
        return error
    if isinstance(step, Early):
        return NOTHING
    raise error


def _failed(refused: Refused) -> BatchFailedError:
    faults = (refused.batch.get("errors") or {}).get("data") or []
    return BatchFailedError(refused.batch["id"], faults)


async def _async_iterator(requests: Iterable[Request] | AsyncIterable[Request]) -> AsyncIterator[Request]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request
