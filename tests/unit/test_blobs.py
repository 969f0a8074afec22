"""Blobs keep the same promises in a directory and in a bucket: whole or absent, replaced at once."""

import hashlib
import hmac
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from moto.server import ThreadedMotoServer

from shared import clock
from shared.environment import inherited
from shared.files import blobs, images
from shared.settings import read_settings, settings
from tests.integration.world import virtual_time

MB = 1024 * 1024
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Where blobs are for the length of a test, as the environment of a process says it."""
    monkeypatch.setattr(settings(), "state_directory", tmp_path)
    told = {"FUSIONAI_STATE_DIRECTORY": str(tmp_path)}
    if request.param == "bucket":
        told |= {**AWS, "AWS_ENDPOINT_URL": request.getfixturevalue("s3")}
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        bucket = clock.new_id("b").replace("_", "-")
        # A client of the vendor's would read its description of the service anew for each test.
        httpx.put(f"{told['AWS_ENDPOINT_URL']}/{bucket}").raise_for_status()
        told["FUSIONAI_FILES_URL"] = f"s3://{bucket}/some/prefix"
        monkeypatch.setattr(settings(), "files_url", told["FUSIONAI_FILES_URL"])
    yield told
    blobs._opened.cache_clear()


def put(name: str, content: bytes) -> None:
    with blobs.writer(name) as file:
        file.write(content)


def get(name: str, offset: int = 0) -> bytes:
    with blobs.reader(name, offset) as file:
        return file.read()


def start_child(place: dict[str, str], program: str) -> "subprocess.Popen[bytes]":
    """Another process of ours on the same blobs."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**inherited(), **place},
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )


def test_what_is_written_is_read(place: dict[str, str]) -> None:
    assert blobs.size("files/a") is None
    put("files/a", b"0123456789")
    assert blobs.size("files/a") == 10 and get("files/a") == b"0123456789" and get("files/a", 7) == b"789"
    assert get("files/a", 10) == get("files/a", 99) == b""
    put("files/a", b"other")
    assert blobs.size("files/a") == 5 and get("files/a") == b"other"
    put("plans/empty", b"")
    assert blobs.size("plans/empty") == 0 and get("plans/empty") == b""


def test_lines_are_read_from_any_byte(place: dict[str, str]) -> None:
    put("plans/p", b"".join(b"line %d\n" % n for n in range(100_000)))
    with blobs.reader("plans/p", len(b"line 0\n")) as file:
        lines = iter(file)
        assert [next(lines), next(lines)] == [b"line 1\n", b"line 2\n"]
        assert sum(1 for _ in lines) == 99_997


def test_what_is_not_there(place: dict[str, str]) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.reader("files/none")
    blobs.delete("files/none")
    put("files/a", b"x")
    blobs.delete("files/a")
    assert blobs.size("files/a") is None
    with pytest.raises(FileNotFoundError):
        blobs.reader("files/a")


@pytest.mark.parametrize("length", [5, 20 * MB])
def test_a_block_that_raises_leaves_what_was_there(place: dict[str, str], length: int) -> None:
    put("files/old", b"old")
    for name in ("files/old", "files/new"):
        with pytest.raises(ZeroDivisionError), blobs.writer(name) as file:
            for _ in range(0, length, MB):
                file.write(b"x" * min(length, MB))
            raise ZeroDivisionError
    assert get("files/old") == b"old" and blobs.size("files/new") is None
    with virtual_time():
        clock.shift(2 * 86_400 * clock.MICROS)
        assert blobs.forget_unfinished(86_400) == 0, "it tidied up after itself"


def test_a_killed_writer_leaves_no_blob_and_its_remains_are_forgotten(place: dict[str, str]) -> None:
    put("files/old", b"old")
    child = start_child(
        place,
        """
        import contextlib, threading
        from shared.files import blobs
        with contextlib.ExitStack() as stack:
            for name in ("files/old", "files/new"):
                file = stack.enter_context(blobs.writer(name))
                for _ in range(20):
                    file.write(b"x" * 1024 * 1024)
                file.flush()
            print("written", flush=True)
            threading.Event().wait()
        """,
    )
    with child:
        assert child.stdout is not None and child.stdout.readline() == b"written\n"
        child.kill()
    assert get("files/old") == b"old" and blobs.size("files/new") is None
    assert blobs.forget_unfinished(86_400 * 365 * 40) == 0, "moto dates every upload in parts 2010"
    with virtual_time():
        clock.shift(2 * 86_400 * clock.MICROS)
        assert blobs.forget_unfinished(86_400) == 2 and blobs.forget_unfinished(86_400) == 0
    assert get("files/old") == b"old"


def test_while_a_blob_is_replaced_the_old_one_is_there(place: dict[str, str]) -> None:
    put("files/a", b"old")
    with blobs.writer("files/a") as file:
        file.write(b"x" * 20 * MB)
        assert get("files/a") == b"old"
    assert blobs.size("files/a") == 20 * MB


@pytest.mark.parametrize(
    "name",
    ["files/..", "files/.", "files/../x", "../x", "/etc/passwd", "files/a/b", "files/", "files", "", ".parts/x",
     "files/.hidden", "FILES/a", "files/a\n", "files/a\x00", "files/ä", "files/" + "a" * 151],
)  # fmt: skip
def test_names_that_are_none(place: dict[str, str], name: str) -> None:
    actions: list[Any] = [blobs.writer, blobs.reader, blobs.size, blobs.delete]
    for action in actions:
        with pytest.raises(ValueError, match="invalid blob name"):
            action(name)
    with pytest.raises(ValueError, match="invalid blob prefix"):
        blobs.forget_old(name.rstrip("/"), 0)


def test_old_ones_are_forgotten_and_only_of_the_prefix(place: dict[str, str]) -> None:
    assert blobs.forget_old("images/", 3600) == 0
    for name in ("images/a.png", "images/b.png", "files/a", "plans/a"):
        put(name, b"x")
    assert blobs.forget_old("images/", 3600) == 0 and blobs.size("images/a.png") == 1
    with virtual_time():
        clock.shift(2 * 3600 * clock.MICROS)
        assert blobs.forget_old("images/", 3600) == 2 and blobs.forget_old("images/", 3600) == 0
    assert blobs.size("images/a.png") is None and blobs.size("files/a") == blobs.size("plans/a") == 1


def test_those_that_start_alike_are_found(place: dict[str, str]) -> None:
    assert blobs.starting("outputs/b.") == []
    for name in ("outputs/b.1", "outputs/b.2", "outputs/ba.1", "files/b.1"):
        put(name, b"x")
    assert sorted(blobs.starting("outputs/b.")) == ["outputs/b.1", "outputs/b.2"]
    assert sorted(blobs.old("outputs/", -60)) == ["outputs/b.1", "outputs/b.2", "outputs/ba.1"]


def test_pictures_are_kept_and_forgotten_a_day_later(place: dict[str, str]) -> None:
    name = images.put("job_1-0", b"\x89PNG rest")
    lasting = images.put("job_2-0", b"\x89PNG rest", of_batch=True)
    assert name == "job_1-0.png" and images.read(name) == b"\x89PNG rest"
    assert images.read("..png") is None and images.read("../../x.png") is None and images.read("no.png") is None
    with virtual_time():
        clock.shift((images.LINK_SECONDS + 3700) * clock.MICROS)
        assert images.forget_old() == 1
        assert images.read(lasting) == b"\x89PNG rest", "that of a batch is kept as long as its output"
        clock.shift((images.BATCH_LINK_SECONDS + 3700) * clock.MICROS)
        assert images.forget_old() == 1
    assert images.read(name) is None and images.read(lasting) is None


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff\xe0", "jpg"), (b"RIFF\n\0\0\0WEBPVP8 ", "webp"), (b"GIF89a", "gif"),
     (b"RIFF\0\0\0\0WAVE", "bin"), (b"<svg onload=alert(1)>", "bin"), (b"<html>\x89PNG", "bin"), (b"%PDF-1.7", "bin"),
     (b"", "bin")],
)  # fmt: skip
def test_only_what_begins_like_a_picture_is_called_one(place: dict[str, str], content: bytes, kind: str) -> None:
    assert images.put("job_3-0", content) == f"job_3-0.{kind}" and images.read(f"job_3-0.{kind}") == content


def test_fifty_megabytes_pass_through_without_being_held(place: dict[str, str]) -> None:
    """In a process of its own, since the server of the bucket holds them all in this one."""
    child = start_child(
        place,
        """
        import hashlib, tracemalloc
        from shared.files import blobs
        blobs.size("files/a")  # imports what is imported at first use
        tracemalloc.start()
        piece = bytes(range(256)) * 4096
        with blobs.writer("files/a") as file:
            for _ in range(50):
                file.write(piece)
        digest = hashlib.sha256()
        with blobs.reader("files/a") as file:
            while chunk := file.read(65536):
                digest.update(chunk)
        print(digest.hexdigest(), tracemalloc.get_traced_memory()[1])
        """,
    )
    output = child.communicate(timeout=300)[0].split()
    assert output[0].decode() == hashlib.sha256(bytes(range(256)) * 4096 * 50).hexdigest()
    assert int(output[1]) < 32 * MB


@pytest.mark.parametrize(
    ("given", "said"),
    [("here", "must look like file:///"), ("s3://", "must look like file:///"), ("file://here", "absolute path"),
     ("flurb://x", "fsspec does not support flurb:// storage"), ("gs://x", "pip install 'gcsfs'")],
)  # fmt: skip
def test_a_wrong_address_is_said_at_the_start(given: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        read_settings(files_url=given)


def test_a_missing_s3fs_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(files_url="s3://bucket").files_url == "s3://bucket"
    monkeypatch.setattr("shared.settings.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"fusionai\[s3\]"):
        read_settings(files_url="s3://bucket")


def test_options_are_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONAI_FILES_OPTIONS", '{"endpoint_url": "http://127.0.0.1:9"}')
    assert read_settings().files_options == {"endpoint_url": "http://127.0.0.1:9"}
    for wrong in ("x", "[1]"):
        monkeypatch.setenv("FUSIONAI_FILES_OPTIONS", wrong)
        with pytest.raises(SystemExit, match="FUSIONAI_FILES_OPTIONS"):
            read_settings()


def test_a_directory_does_not_pay_for_fsspec(tmp_path: Path) -> None:
    child = start_child(
        {"FUSIONAI_FILES_URL": f"file://{tmp_path}/new%20place"},
        """
        import sys
        from shared.files import blobs
        with blobs.writer("files/a") as file:
            file.write(b"x")
        print(blobs.size("files/a"), "fsspec" in sys.modules)
        """,
    )
    assert child.communicate(timeout=300)[0] == b"1 False\n" and (tmp_path / "new place" / "files" / "a").exists()


def test_links_are_signed_with_a_key_of_their_own_and_those_of_earlier_versions_hold() -> None:
    expires = clock.now_seconds() + 60
    secret = settings().key_secret.encode()
    before = hmac.new(secret, f"picture a.png {expires}".encode(), "sha256").hexdigest()
    link = dict(parse_qsl(urlsplit(images.link("a.png")).query))
    by_the_secret = hmac.new(secret, f"picture a.png {link['expires']}".encode(), "sha256").hexdigest()
    assert link["signature"] != by_the_secret and images.holds("a.png", int(link["expires"]), link["signature"])
    assert images.holds("a.png", expires, before) and not images.holds("b.png", expires, before)
    assert not images.holds("a.png", expires, "")
