"""Pictures by their signed links: bytes that a provider made are never more to a browser than a picture, or a file."""

import asyncio

import httpx
import pytest

from producer.app import make_app
from producer.context import Context
from shared.db import Database
from shared.files import blobs, images
from tests.integration import world
from tests.integration.batch_world import files_of_its_own as files_of_its_own
from tests.pictures import gif, jpeg, png, webp

PAGE = b"<!doctype html><script>alert(document.domain)</script>"


def shown(database: Database, *links: str) -> list[httpx.Response]:
    """What a browser gets, without a key."""

    async def scene() -> list[httpx.Response]:
        app = make_app()
        app.state.context = Context(database, world.RecordedBell())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            answers = [await client.get(link.partition("8000")[2]) for link in links]
        await app.state.context.close()
        return answers

    return asyncio.run(scene())


def check_guarded(answer: httpx.Response) -> None:
    assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"].startswith("private")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(png(), "image/png"), (jpeg(), "image/jpeg"), (webp(), "image/webp"), (gif(), "image/gif")],
    ids=["png", "jpeg", "webp", "gif"],
)
@pytest.mark.parametrize("of_batch", [False, True])
def test_a_picture_is_called_what_it_is(database: Database, content: bytes, media_type: str, of_batch: bool) -> None:
    name = images.put("job_1-0", content, of_batch=of_batch)
    (answer,) = shown(database, images.link(name, of_batch=of_batch))
    check_guarded(answer)
    assert answer.content == content and answer.headers["content-type"] == media_type
    assert "content-disposition" not in answer.headers


@pytest.mark.parametrize(
    "content", [PAGE, b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"RIFF\0\0\0\0WAVE"]
)
def test_what_is_no_picture_is_a_file_to_be_saved(database: Database, content: bytes) -> None:
    """Also under a name that an earlier release gave it."""
    name = images.put("job_1-0", content)
    with blobs.writer("images/job_2-0.png") as file:
        file.write(content)
    for answer in shown(database, images.link(name), images.link("job_2-0.png")):
        check_guarded(answer)
        assert answer.content == content and answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == "attachment"


def test_a_link_that_does_not_hold_is_a_404_of_ours(database: Database) -> None:
    name = images.put("job_1-0", PAGE)
    (answer,) = shown(database, images.link(name) + "0")
    assert answer.status_code == 404 and answer.headers["content-type"] == "application/json"
