"""A call that is cut short after its job was accepted: the answer names the job and keeps clients from a retry."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from sqlalchemy.exc import OperationalError

from producer.app import make_app
from producer.context import Context
from producer.operations.placing import Placed, Placer
from producer.waiting import waiters
from shared import accounts
from shared.db import Database
from shared.key_holders import KeyHolder
from tests.integration import world

#: What is done to the server's task of a call once its job is accepted.
Cut = Callable[["asyncio.Task[None]", "Watched"], None]


class Watched(Context):
    """A context that tells when it has accepted a job."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, world.RecordedBell())
        placer = self.placer
        self.placer = WatchedPlacer(*(getattr(placer, one.name) for one in dataclasses.fields(placer)))

    @property
    def job_id(self) -> str:
        """The job that was accepted, or waited for."""
        assert isinstance(self.placer, WatchedPlacer)
        return self.placer.job_id

    @property
    def accepted(self) -> asyncio.Event:
        """Set when there is one."""
        assert isinstance(self.placer, WatchedPlacer)
        return self.placer.accepted


class WatchedPlacer(Placer):
    """Its placer."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.job_id = ""
        self.accepted = asyncio.Event()

    async def place(self, *args: Any, **more: Any) -> Placed:
        """As ever."""
        placed = await super().place(*args, **more)
        self.job_id = placed.job_id
        self.accepted.set()
        return placed

    async def await_end(self, job_id: str, *args: Any) -> None:
        """As ever, too."""
        self.job_id = job_id
        self.accepted.set()
        await super().await_end(job_id, *args)


def chat(database: Database, cut: Cut, **more: Any) -> tuple[int, dict[str, str], Any, str]:
    """A chat call that is `cut` short; see `answer`."""
    body = {"model": "gpt-4", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], **more}
    return answer(database, world.open_account(database), cut, "POST", "/v1/chat/completions", orjson.dumps(body))


def answer(
    database: Database, holder: KeyHolder, cut: Cut, method: str, path: str, body: bytes = b"", query: bytes = b""
) -> tuple[int, dict[str, str], Any, str]:
    """Status, headers and body of a call that is `cut` short, and its job."""
    _, key = database.write_sync(accounts.create_key, holder.account_id, "live")
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    async def scene() -> str:
        app = make_app()
        app.state.context = context = Watched(database)
        scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "scheme": "http", "method": method}
        scope |= {"path": path, "query_string": query, "client": ("127.0.0.1", 1)}
        scope["headers"] = [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")]
        task = asyncio.create_task(app(scope, receive, send))
        await asyncio.wait_for(context.accepted.wait(), 10)
        cut(task, context)
        await asyncio.wait_for(task, 10)
        await context.close()
        return context.job_id

    job_id = asyncio.run(scene())
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, orjson.loads(sent[1]["body"]), job_id


def _cancelled(task: "asyncio.Task[None]", context: Watched) -> None:
    """What uvicorn does with a call that outlasts its time to stop."""
    task.cancel()


@pytest.mark.parametrize("stream", [False, True])
def test_a_server_that_stops_says_that_the_job_goes_on(database: Database, stream: bool) -> None:
    status, headers, body, job_id = chat(database, _cancelled, stream=stream)
    assert (status, body["error"]["type"]) == (504, "timeout") and job_id in body["error"]["message"]
    assert headers["fusionai-job-id"] == job_id and headers["x-should-retry"] == "false"
    assert world.row(database, job_id)["status"] == "queued"


@pytest.mark.parametrize(
    ("fault", "status"),
    [(OperationalError("SELECT", {}, Exception("gone")), 503), (RuntimeError("a bug"), 500)],
)
def test_a_fault_while_a_call_waits_buys_nothing_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch, fault: Exception, status: int
) -> None:
    def fail(*_: Any) -> Any:
        raise fault

    monkeypatch.setattr(waiters, "states_of", fail)
    found, headers, body, job_id = chat(database, lambda _, context: context.waiters.ended([context.job_id]))
    assert found == body["error"]["code"] == status and "a bug" not in body["error"]["message"]
    assert headers["fusionai-job-id"] == job_id and headers["x-should-retry"] == "false"


def test_a_long_poll_on_a_server_that_stops_shows_the_job_as_it_stands(database: Database) -> None:
    holder = world.open_account(database)
    (id,) = world.queued(database, holder)
    status, headers, body, _ = answer(database, holder, _cancelled, "GET", f"/v1/jobs/{id}", query=b"wait=20")
    assert status == 200 and (body["id"], body["status"]) == (id, "queued") and headers["fusionai-job-id"] == id


def test_a_client_that_goes_away_while_it_sends_is_no_fault_of_ours(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    _, key = database.write_sync(accounts.create_key, world.open_account(database).account_id, "live")
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def scene() -> None:
        coming = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

        async def receive() -> Any:
            return next(coming)

        app = make_app()
        app.state.context = context = Watched(database)
        scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "scheme": "http", "method": "POST"}
        scope |= {"path": "/v1/embeddings", "query_string": b"", "client": ("127.0.0.1", 1)}
        await app(scope | {"headers": [(b"authorization", f"Bearer {key}".encode())]}, receive, send)
        await context.close()

    asyncio.run(scene())
    assert sent[0]["status"] == 400 and not [record for record in caplog.records if record.levelname == "ERROR"]
