"""Pictures that jobs made, and a storage that fails, hangs or is away: none replaces another or fails its job."""

import asyncio
import base64
import dataclasses
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.errors import ProviderError, StorageAway
from shared.files import blobs, images
from shared.jobs.outcomes import Requeue
from shared.submissions.offers import Offer
from shared.submissions.schemas import Usage
from tests.integration import attempts, world
from tests.integration.batch_world import files_of_its_own  # noqa: F401
from tests.integration.test_engine import Provider, scene, statuses
from workers.providers import ProviderAnswer, ProviderCall
from workers.running import images as keeping
from workers.running.engine import Engine
from workers.running.partial_answer import PartialAnswer
from workers.running.slots import Slots

OFFER = Offer(provider="openai", model="image-gen-2", upstream="x", input=0, output=0, version="v", bound_micros=1)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "FIRST_PAUSE_SECONDS", 0.001)


def drawn(*contents: bytes) -> ProviderAnswer:
    rows = [{"b64_json": base64.b64encode(b"\x89PNG" + content).decode()} for content in contents]
    return ProviderAnswer({"data": rows}, Usage(images=len(contents), size="1024x1024"))


def asked(id: str) -> ProviderCall:
    return ProviderCall(id, "image", {"response_format": "url", "size": "1024x1024"}, OFFER)


def name_of(row: dict[str, Any]) -> str:
    return str(row["url"]).split("/pictures/")[1].split("?")[0]


def painter(calls: list[str]) -> Callable[[ProviderCall], Awaitable[ProviderAnswer]]:
    async def draw(ask: ProviderCall) -> ProviderAnswer:
        calls.append(ask.job_id)
        return drawn(b"a")

    return draw


def playing(*ids: str) -> Callable[[Engine, Slots], Awaitable[None]]:
    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer(world.QUEUE, ids)
        await engine.quiet()

    return play


def attempts_of(database: Database, id: str) -> Any:
    (row,) = world.rows(database, m.job_payloads, job_id=id)
    return json.loads(row["attempts"])


def test_a_stale_workers_picture_replaces_no_settled_one() -> None:
    first, late = drawn(b"the settled one", b"its second"), drawn(b"the stale one", b"another")
    asyncio.run(keeping.ImageKeeper().put_links(asked("job_1"), first, of_batch=False))
    asyncio.run(keeping.ImageKeeper().put_links(asked("job_1"), late, of_batch=False))
    assert [images.read(name_of(row)) for row in first.body["data"]] == [
        b"\x89PNGthe settled one",
        b"\x89PNGits second",
    ]


def test_pictures_of_an_earlier_release_are_still_served() -> None:
    assert images.put("job_01a2-0", b"\x89PNGold") == "job_01a2-0.png" and images.read("job_01a2-0.png")


def test_storage_away_for_a_moment_costs_no_second_call(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    (id,) = world.queued(database, world.open_account(database), type="image")
    calls: list[str] = []
    failures = [OSError("SlowDown"), StorageAway(), OSError(28, "No space left on device")]
    put = images.put

    def failing(*args: Any, **more: Any) -> str:
        if failures:
            raise failures.pop()
        return put(*args, **more)

    monkeypatch.setattr(images, "put", failing)
    scene(database, playing(id), painter(calls))
    assert statuses(database, [id]) == ["succeeded"] and calls == [id]
    assert world.violations(database) == []


def test_storage_that_stays_away_puts_the_job_off(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither failed nor charged, and nothing more is drawn before storage is back."""
    holder = world.open_account(database)
    (id,), (other,) = (world.queued(database, holder, type="image") for _ in range(2))
    calls: list[str] = []

    def failing(*args: Any, **more: Any) -> str:
        raise OSError("away")

    async def play(engine: Engine, slots: Slots) -> None:
        for one in (id, other):
            engine.offer(world.QUEUE, [one])
            await engine.quiet()

    with world.virtual_time(), monkeypatch.context() as away:
        away.setattr(keeping, "KEEP_SECONDS", 0.01)
        away.setattr(blobs, "writer", failing)
        scene(database, play, painter(calls))
        assert statuses(database, [id, other]) == ["queued", "queued"] and calls == [id]
        row = world.row(database, id)
        assert row["deferred_for"] == "storage" and row["run_at"] > clock.now_micros() + 20 * clock.MICROS
        (attempt,) = attempts_of(database, id)
        assert (attempt["status_code"], attempt["error"]) == (200, "storage")
        away.undo()
        clock.shift(60 * clock.MICROS)
        for one in (id, other):
            world.change(database, one, deferred_for=None)
        scene(database, playing(id, other), painter(calls))
    assert statuses(database, [id, other]) == ["succeeded", "succeeded"] and sorted(calls) == sorted([id, id, other])
    assert world.violations(database) == []


def test_a_job_whose_picture_is_lost_may_run_again_whatever_the_clocks_say(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "KEEP_SECONDS", 0.01)
    monkeypatch.setattr(images, "put", _away)
    ids = world.queued(database, world.open_account(database), type="image")
    (job,) = world.take(database, world.new_worker(database), ids)
    back = asyncio.run(attempts.of(Provider(painter([]))).run(job, [], PartialAnswer()))
    assert isinstance(back, Requeue) and back.wake and back.run_at == 0


def _away(*args: Any, **more: Any) -> str:
    raise StorageAway


def test_base64_that_was_asked_for_and_came_is_not_ignored(database: Database) -> None:
    """Though its provider does not know `response_format`."""

    async def draw(ask: ProviderCall) -> ProviderAnswer:
        return dataclasses.replace(drawn(b"a"), ignored=["response_format", "style"])

    (id,) = world.queued(database, world.open_account(database), type="image")
    (payload,) = world.rows(database, m.job_payloads)
    asked = json.dumps({**json.loads(payload["request"]), "response_format": "b64_json"})
    database.write_sync(lambda connection: connection.execute(update(m.job_payloads).values(request=asked)).rowcount)
    scene(database, playing(id), draw)
    (result,) = world.rows(database, m.job_results)
    assert json.loads(result["ignored"]) == ["style"] and "b64_json" in result["response"]


def test_storage_that_hangs_has_a_limit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "KEEP_SECONDS", 0.2)
    monkeypatch.setattr(keeping, "TRY_SECONDS", 0.05)
    (id,) = world.queued(database, world.open_account(database), type="image")
    back = threading.Event()

    def hanging(*args: Any, **more: Any) -> str:
        back.wait(30)
        raise OSError("too late")

    monkeypatch.setattr(images, "put", hanging)
    try:
        scene(database, playing(id), painter([]))
    finally:
        back.set()
    assert statuses(database, [id]) == ["queued"]


@pytest.mark.parametrize("form", ["url", "b64_json"])
@pytest.mark.parametrize("encoded", ["?", "", "AAA", "AA==AA==", "é", None, 7])
def test_what_is_no_picture_is_the_providers_fault(encoded: Any, form: str) -> None:
    answer = ProviderAnswer({"data": [{"b64_json": "AAAA"}, {"b64_json": encoded}]}, Usage(images=2))
    call = replace(asked("job_1"), request={"response_format": form, "size": "1024x1024"})
    with pytest.raises(ProviderError, match="not valid base64"):
        asyncio.run(keeping.ImageKeeper().put_links(call, answer, of_batch=False))


def test_of_several_pictures_those_that_are_kept_are_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    put, written = images.put, list[str]()

    def failing(stem: str, content: bytes, *, of_batch: bool = False) -> str:
        written.append(content[4:].decode())
        if written == ["a", "b"]:
            raise OSError("away")
        return put(stem, content, of_batch=of_batch)

    monkeypatch.setattr(images, "put", failing)
    answer = drawn(b"a", b"b", b"c")
    asyncio.run(keeping.ImageKeeper().put_links(asked("job_1"), answer, of_batch=True))
    assert written == ["a", "b", "b", "c"] and all(
        "url" in row and "b64_json" not in row for row in answer.body["data"]
    )
