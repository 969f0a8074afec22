"""`fusionai.batch`: requests in, results out as they finish; run again after a crash it goes on with the same batches.

Nothing is kept on this machine: each part of the requests is a batch under a key that depends on what it asks, so the
same requests find the batches that were made of them (for eight days), and pay for nothing twice.
"""

import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

import anyio
from openai import APIConnectionError, APIStatusError, omit

from fusionai import batch_parts
from fusionai.batch_parts import BatchResult as BatchResult
from fusionai.batch_parts import Cutter, Request, Tally, Tier
from fusionai.batch_steps import Cheap, Course, Look, Make, Pause, Read, Refused, Step, Take, steps
from fusionai.client import AsyncFusionAI, FusionAI
from fusionai.errors import BatchFailedError
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
    """A result for each request: those of a batch in their order, batches as they finish.

    `requests`: `{"body": {…}, "custom_id"?, "url"?}`, of a chat unless the url says else; taken as they are needed.
    `key`: another key makes other batches of the same requests. `tier`: `auto` asks for the cheaper tier of the models
    that have one where the window is four hours or longer; `default` leaves bodies as they are. `lines_per_batch`: else
    100 in the first, twice as many in each after it, up to 10,000.
    BatchFailedError where a batch is refused as a whole. Call it again with the same requests to go on after a crash.
    """
    client = client or FusionAI()
    course, spec = _course(key, completion_window, tier, lines_per_batch, poll_seconds), (completion_window, metadata)
    left, taken, back = iter(requests), steps(course, on_progress), None
    try:
        while True:
            step = taken.send(back)
            back = None
            if isinstance(step, BatchResult):
                yield step
            elif isinstance(step, Take):
                back = next(left, None)
            elif isinstance(step, Pause):
                time.sleep(step.seconds)
            else:
                back = _take(client, step, *spec)
    except StopIteration:
        return
    except Refused as refused:
        raise _failed(refused) from None


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
    client = client or AsyncFusionAI()
    course, spec = _course(key, completion_window, tier, lines_per_batch, poll_seconds), (completion_window, metadata)
    left, taken, back = _async_iterator(requests), steps(course, on_progress), None
    try:
        while True:
            step = taken.send(back)
            back = None
            if isinstance(step, BatchResult):
                yield step
            elif isinstance(step, Take):
                back = await anext(left, None)
            elif isinstance(step, Pause):
                await anyio.sleep(step.seconds)
            else:
                back = await _take_async(client, step, *spec)
    except StopIteration:
        return
    except Refused as refused:
        raise _failed(refused) from None


def _take(client: FusionAI, step: Step, completion_window: str, metadata: Metadata) -> Any:
    """Do what a step says, and return what it wants."""
    if isinstance(step, Cheap):
        return frozenset(model.id for model in client.models.list(limit=100) if _is_cheap(model))
    if isinstance(step, Make):
        uploading = client.with_options(timeout=batch_parts.FILE_SECONDS)
        file = uploading.files.create(**_upload(step))
        made = client.batches.with_raw_response.create(**_spec(step, file.id, completion_window, metadata))
        return made.parse().id, _is_replayed(made.headers)
    if isinstance(step, Look):
        try:
            return client.get(f"/batches/{step.batch_id}", cast_to=Batch).to_dict()
        except (APIConnectionError, APIStatusError) as error:
            return _passing(error)
    assert isinstance(step, Read)
    return client.with_options(timeout=batch_parts.FILE_SECONDS).files.content(step.file_id).content


async def _take_async(client: AsyncFusionAI, step: Step, completion_window: str, metadata: Metadata) -> Any:
    """The same, asynchronously."""
    if isinstance(step, Cheap):
        return frozenset([model.id async for model in client.models.list(limit=100) if _is_cheap(model)])
    if isinstance(step, Make):
        uploading = client.with_options(timeout=batch_parts.FILE_SECONDS)
        file = await uploading.files.create(**_upload(step))
        made = await client.batches.with_raw_response.create(**_spec(step, file.id, completion_window, metadata))
        return made.parse().id, _is_replayed(made.headers)
    if isinstance(step, Look):
        try:
            return (await client.get(f"/batches/{step.batch_id}", cast_to=Batch)).to_dict()
        except (APIConnectionError, APIStatusError) as error:
            return _passing(error)
    assert isinstance(step, Read)
    return (await client.with_options(timeout=batch_parts.FILE_SECONDS).files.content(step.file_id)).content


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


def _passing(error: APIConnectionError | APIStatusError) -> Exception:
    """An error of a look after which another may succeed; any other is raised."""
    if isinstance(error, APIStatusError) and error.status_code < 500 and error.status_code != 429:
        raise error
    return error


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
