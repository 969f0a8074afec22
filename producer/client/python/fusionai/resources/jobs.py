"""Jobs: submitted, waited for, streamed, listed, cancelled."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from openai import Stream
from openai._base_client import AsyncPaginator
from openai._resource import AsyncAPIResource, SyncAPIResource
from openai._streaming import AsyncStream
from openai.types.chat import ChatCompletionChunk

from fusionai import manners
from fusionai.errors import WaitTimeoutError
from fusionai.job_streams import AsyncChunks, AsyncJobStream, Chunks, JobStream
from fusionai.objects import Job, JobCount, JobInput, JobSummary
from fusionai.objects import Jobs as Accepted
from fusionai.pages import AsyncPage, Page
from fusionai.resources.calling import NO_SECONDS, Headers, Seconds, known, options

JobType = Literal["chat.completion", "embedding", "image"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
#: The statuses in which a job stays.
OVER = frozenset({"succeeded", "failed", "cancelled", "expired"})
Rows = list[Job]
#: Nothing to hold a long poll for.
_LEAST_WAIT_SECONDS = 0.05


class Jobs(SyncAPIResource):
    """`client.jobs`."""

    def create(
        self,
        *,
        type: JobType,
        model: str | Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        extra_headers: Headers = None,
        timeout: Seconds = NO_SECONDS,
        **request: Any,
    ) -> Job:
        """Submit a job: its type, its model, and the request as of the synchronous call (`messages`, `input`, …)."""
        body = known({"type": type, "model": model, "metadata": metadata, **request})
        given = options(headers=extra_headers, timeout=timeout, idempotency_key=idempotency_key)
        return self._post("/jobs", body=body, options=given, cast_to=Job)

    def create_many(self, jobs: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None) -> Rows:
        """Submit up to 1,000 jobs, all or none; they come back in the same order."""
        given = options(idempotency_key=idempotency_key)
        return self._post("/jobs", body={"jobs": [*jobs]}, options=given, cast_to=Accepted).data

    def retrieve(self, id: str, *, wait: float | None = None) -> Job:
        """The job now; with `wait` as soon as it is over, or after that many seconds."""
        timeout = NO_SECONDS if wait is None else wait + _spare(self._client)
        return self._get(f"/jobs/{id}", options=options(query={"wait": wait}, timeout=timeout), cast_to=Job)

    def wait(self, id: str, *, timeout: float | None = None) -> Job:
        """The job once it is over, however it ended; WaitTimeoutError after `timeout` seconds, and the job goes on."""
        began = time.monotonic()
        while True:
            wait = _next_wait(id, _patience(self._client), began, timeout)
            looked = time.monotonic()
            job = self.retrieve(id, wait=wait)
            if job.status in OVER:
                return job
            self._sleep(_early(looked, wait))

    def stream(self, id: str, *, last_event_id: str | None = None) -> JobStream:
        """The chunks of a chat's answer, all or those after an event; read on by itself after a lost connection."""

        def opens(after: str | None) -> Chunks:
            made: Any = self._get(
                f"/jobs/{id}/stream",
                options=options(headers=_after(after)),
                cast_to=ChatCompletionChunk,
                stream=True,
                stream_cls=Stream[ChatCompletionChunk],
            )
            return made  # type: ignore[no-any-return]

        return JobStream(opens, self._sleep, last_event_id, self._client.max_retries, pause_seconds)

    def list(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        status: JobStatus | None = None,
        type: JobType | None = None,
        model: str | None = None,
        batch_id: str | None = None,
        key_id: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        metadata: Mapping[str, str] | None = None,
        include_results: bool | None = None,
    ) -> Page[Job]:
        """The jobs that meet all filters, the newest first."""
        found = locals()
        return self._get_api_list("/jobs", page=Page[Job], model=Job, options=options(query=_query(found)))

    def count(self, *, metadata: Mapping[str, str] | None = None, **filters: str | int | None) -> JobCount:
        """How many meet the filters of `list`: `count`, up to 10,000, and `has_more`."""
        query = _query({**filters, "metadata": metadata})
        return self._get("/jobs/count", options=options(query=query), cast_to=JobCount)

    def summary(self) -> JobSummary:
        """How many are queued and running, done today, and failed of late."""
        return self._get("/jobs/summary", cast_to=JobSummary)

    def input(self, id: str) -> JobInput:
        """What a job asked, as it can be sent again."""
        return self._get(f"/jobs/{id}/input", cast_to=JobInput)

    def cancel(self, id: str) -> Job:
        """Ask that a job end."""
        return self._post(f"/jobs/{id}/cancel", body={}, cast_to=Job)


class AsyncJobs(AsyncAPIResource):
    """`client.jobs` of the asynchronous client."""

    async def create(
        self,
        *,
        type: JobType,
        model: str | Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        extra_headers: Headers = None,
        timeout: Seconds = NO_SECONDS,
        **request: Any,
    ) -> Job:
        """Submit a job: its type, its model, and the request as of the synchronous call (`messages`, `input`, …)."""
        body = known({"type": type, "model": model, "metadata": metadata, **request})
        given = options(headers=extra_headers, timeout=timeout, idempotency_key=idempotency_key)
        return await self._post("/jobs", body=body, options=given, cast_to=Job)

    async def create_many(self, jobs: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None) -> Rows:
        """Submit up to 1,000 jobs, all or none; they come back in the same order."""
        given = options(idempotency_key=idempotency_key)
        return (await self._post("/jobs", body={"jobs": [*jobs]}, options=given, cast_to=Accepted)).data

    async def retrieve(self, id: str, *, wait: float | None = None) -> Job:
        """The job now; with `wait` as soon as it is over, or after that many seconds."""
        timeout = NO_SECONDS if wait is None else wait + _spare(self._client)
        return await self._get(f"/jobs/{id}", options=options(query={"wait": wait}, timeout=timeout), cast_to=Job)

    async def wait(self, id: str, *, timeout: float | None = None) -> Job:
        """The job once it is over, however it ended; WaitTimeoutError after `timeout` seconds, and the job goes on."""
        began = time.monotonic()
        while True:
            wait = _next_wait(id, _patience(self._client), began, timeout)
            looked = time.monotonic()
            job = await self.retrieve(id, wait=wait)
            if job.status in OVER:
                return job
            await self._sleep(_early(looked, wait))

    def stream(self, id: str, *, last_event_id: str | None = None) -> AsyncJobStream:
        """The chunks of a chat's answer, all or those after an event; read on by itself after a lost connection."""

        async def opens(after: str | None) -> AsyncChunks:
            made: Any = await self._get(
                f"/jobs/{id}/stream",
                options=options(headers=_after(after)),
                cast_to=ChatCompletionChunk,
                stream=True,
                stream_cls=AsyncStream[ChatCompletionChunk],
            )
            return made  # type: ignore[no-any-return]

        return AsyncJobStream(opens, self._sleep, last_event_id, self._client.max_retries, pause_seconds)

    def list(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        status: JobStatus | None = None,
        type: JobType | None = None,
        model: str | None = None,
        batch_id: str | None = None,
        key_id: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        metadata: Mapping[str, str] | None = None,
        include_results: bool | None = None,
    ) -> AsyncPaginator[Job, AsyncPage[Job]]:
        """The jobs that meet all filters, the newest first: await a page, or `async for` over all of them."""
        found = locals()
        return self._get_api_list("/jobs", page=AsyncPage[Job], model=Job, options=options(query=_query(found)))

    async def count(self, *, metadata: Mapping[str, str] | None = None, **filters: str | int | None) -> JobCount:
        """How many meet the filters of `list`: `count`, up to 10,000, and `has_more`."""
        query = _query({**filters, "metadata": metadata})
        return await self._get("/jobs/count", options=options(query=query), cast_to=JobCount)

    async def summary(self) -> JobSummary:
        """How many are queued and running, done today, and failed of late."""
        return await self._get("/jobs/summary", cast_to=JobSummary)

    async def input(self, id: str) -> JobInput:
        """What a job asked, as it can be sent again."""
        return await self._get(f"/jobs/{id}/input", cast_to=JobInput)

    async def cancel(self, id: str) -> Job:
        """Ask that a job end."""
        return await self._post(f"/jobs/{id}/cancel", body={}, cast_to=Job)


def _query(given: Mapping[str, Any]) -> dict[str, Any]:
    """The query of a list, of its arguments."""
    labels = {f"metadata.{name}": value for name, value in (given.get("metadata") or {}).items()}
    named = {name: value for name, value in given.items() if name not in ("self", "metadata")}
    return {**named, **labels}


def _after(last_event_id: str | None) -> dict[str, str]:
    return {} if last_event_id is None else {"Last-Event-ID": last_event_id}


def _patience(client: Any) -> float:
    """For how long a look at a job may take, which the client's timeout outlasts."""
    seconds = getattr(client.timeout, "read", client.timeout)
    wait = manners.TIMEOUT_SECONDS if seconds is None else seconds
    return max(wait - manners.SPARE_SECONDS, wait / 2)


def _spare(client: Any) -> float:
    """How much longer than the server may take the client waits."""
    seconds = getattr(client.timeout, "read", client.timeout)
    return manners.TIMEOUT_SECONDS if seconds is None else float(seconds)


def _next_wait(id: str, most: float, began: float, timeout: float | None) -> float:
    if timeout is None:
        return most
    left = timeout - (time.monotonic() - began)
    if left < _LEAST_WAIT_SECONDS:
        raise WaitTimeoutError(id, timeout)
    return round(min(most, left), 3)


def _early(looked: float, wait: float) -> float:
    """For how long to pause where a look was answered before its time."""
    return max(min(manners.LOOK_SECONDS, wait) - (time.monotonic() - looked), 0.0)


def pause_seconds(tries: int) -> float:
    """Doubling from half a second; the same as the official SDK's between tries of a call."""
    return min(0.5 * 2.0 ** (tries - 1), 8.0)
