"""Files over real HTTP: by the official SDK, by hand, broken in every way, and on a bucket."""

import contextlib
import hashlib
import random
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import httpx
import openai
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import select, update

from shared import clock
from shared.db import models as m
from tests.acceptance.stack import Account, Stack
from tests.servers import RedisServer
from workers.simulator.server import SimulatorProcess

MB = 1024 * 1024
DAY = 86_400
LINES = b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{}}\n'
BOUNDARY = b"b0undary"


@pytest.fixture
def client(account: Account) -> Iterator[openai.OpenAI]:
    """The official SDK, with the account's live key."""
    with sdk(account.live_key, account.stack) as made:
        yield made


def sdk(key: str, stack: Stack) -> openai.OpenAI:
    http = httpx.Client(timeout=60, trust_env=False)
    return openai.OpenAI(base_url=stack.url + "/v1", api_key=key, max_retries=0, http_client=http)


def upload(client: httpx.Client, content: bytes = LINES, name: str = "in.jsonl", **more: Any) -> httpx.Response:
    fields = {"purpose": "batch", **more.pop("fields", {})}
    return client.post("/files", data=fields, files={"file": (name, content)}, **more)


def kept(client: httpx.Client, *args: Any, **more: Any) -> dict[str, Any]:
    answer = upload(client, *args, **more)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def part(name: str, content: bytes, more: bytes = b"") -> bytes:
    return b'--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (
        BOUNDARY, name.encode(), more, content)  # fmt: skip


def file_part(content: bytes = LINES, filename: bytes = b'; filename="a.jsonl"') -> bytes:
    return part("file", content, filename)


PURPOSE = part("purpose", b"batch")
END = b"--%s--\r\n" % BOUNDARY


def send(client: httpx.Client, *parts: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
    kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    return client.post("/files", content=b"".join(parts), headers={**kind, **(headers or {})})


def refused(answer: httpx.Response, status: int = 400, said: str = "") -> None:
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    error = answer.json()["error"]
    assert error["code"] == status and said in error["message"] and len(error["message"]) < 500


def rows(stack: Stack, account_id: str) -> list[Mapping[str, Any]]:
    """Every row of the account's files, seen or not."""
    statement = select(m.files).where(m.files.c.account_id == account_id).order_by(m.files.c.id)
    return stack.database.read_sync(lambda connection: list(connection.execute(statement).mappings()))


def stored(stack: Stack) -> set[str]:
    """The blobs of files, and what unfinished ones left."""
    root = stack.log.parent / "files"
    return {path.name for place in ("files", ".parts") for path in (root / place).glob("*")}


def peak(stack: Stack) -> int:
    """The most memory that the web process has ever had, in bytes; 0 where the system does not say."""
    status = Path(f"/proc/{stack._processes[0].pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


# -- the official SDK ---------------------------------------------------------------------------------------------


def test_the_sdk_creates_shows_reads_and_deletes(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(LINES * 3)
    made = client.files.create(file=path, purpose="batch")
    assert made.id.startswith("file_") and made.object == "file" and made.status == "processed"
    assert (made.filename, made.purpose, made.bytes) == ("requests.jsonl", "batch", len(LINES) * 3)
    assert made.expires_at == made.created_at + 30 * DAY and abs(made.created_at - clock.now_seconds()) < 30
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == LINES * 3
    gone = client.files.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "file", True)
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(made.id)
    assert list(client.files.list()) == []


def test_the_sdk_says_when_it_expires(client: openai.OpenAI) -> None:
    for seconds in (3600, 86_400, 2_592_000):
        expiry: Any = {"anchor": "created_at", "seconds": seconds}
        made = client.files.create(file=("a.jsonl", LINES), purpose="batch", expires_after=expiry)
        assert made.expires_at == made.created_at + seconds
    with pytest.raises(openai.BadRequestError, match="from 3600 to 2592000"):
        expiry = {"anchor": "created_at", "seconds": 3599}
        client.files.create(file=("a.jsonl", LINES), purpose="batch", expires_after=expiry)
    with pytest.raises(openai.BadRequestError, match="'fine-tune' is not supported"):
        client.files.create(file=("a.jsonl", LINES), purpose="fine-tune")


def test_the_sdk_pages_through_the_list(client: openai.OpenAI) -> None:
    made = [client.files.create(file=(f"{n}.jsonl", LINES), purpose="batch").id for n in range(5)]
    page = client.files.list(limit=2)
    assert [one.id for one in page.data] == made[:2:-1] and page.has_more
    assert [one.id for one in client.files.list(limit=2)] == made[::-1], "the SDK asks for the next page by itself"
    assert [one.id for one in client.files.list(order="asc", limit=3)] == made
    assert [one.id for one in client.files.list(purpose="batch")] == made[::-1]
    assert list(client.files.list(purpose="batch_output")) == []
    with pytest.raises(openai.BadRequestError):
        client.files.list(limit=101)


def test_sixty_megabytes_come_back_byte_for_byte(client: openai.OpenAI, account: Account, tmp_path: Path) -> None:
    path, digest = tmp_path / "big.bin", hashlib.sha256()
    chance = random.Random(1)
    with path.open("wb") as file:
        for _ in range(60):
            piece = chance.randbytes(MB - 40) + b"\r\n--b0undary\r\n--" + b"\r" * 25
            digest.update(piece)
            file.write(piece)
    before = peak(account.stack)
    made = client.files.create(file=path, purpose="batch")
    assert made.bytes == path.stat().st_size
    back = hashlib.sha256()
    with client.files.with_streaming_response.content(made.id) as answer:
        assert answer.headers["content-length"] == str(made.bytes)
        for chunk in answer.iter_bytes():
            back.update(chunk)
    assert back.hexdigest() == digest.hexdigest()
    assert peak(account.stack) - before < 30 * MB, "it was never whole in memory"


# -- what is kept, for whom ---------------------------------------------------------------------------------------


def test_live_and_test_keys_and_other_accounts_do_not_see_it(account: Account, other: Account) -> None:
    id = kept(account.live)["id"]
    for stranger in (account.test, other.live, other.test):
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            answer = stranger.request(method, f"/files/{id}{path}")
            assert answer.json()["error"]["message"] == f"not found: file {id!r}" and answer.status_code == 404
        assert stranger.get("/files").json()["data"] == []
    test = kept(account.test)["id"]
    assert [one["id"] for one in account.test.get("/files").json()["data"]] == [test]
    assert [one["id"] for one in account.live.get("/files").json()["data"]] == [id]
    assert httpx.get(f"{account.stack.url}/v1/files/{id}", trust_env=False).status_code == 401


@pytest.mark.parametrize(
    "name",
    ["plain.jsonl", "ä ö 💥.jsonl", 'quo"te;.jsonl', "a/../../b", "semi;colon", "x" * 255, "%0d%0aSet-Cookie: a=b"],
)
def test_any_filename_is_only_a_name(account: Account, name: str) -> None:
    raw = name.encode().replace(b'"', b'\\"')
    made = send(account.live, PURPOSE, file_part(filename=b'; filename="%s"' % raw), END).json()
    assert made["filename"] == name
    answer = account.live.get(f"/files/{made['id']}/content")
    assert answer.content == LINES and answer.headers["content-type"] == "application/octet-stream"
    given = answer.headers["content-disposition"]
    assert given.startswith("attachment; ") and given.isascii() and given.count('"') == 2
    assert "set-cookie" not in answer.headers and answer.headers["x-content-type-options"] == "nosniff"


def test_a_file_without_a_name_gets_one(account: Account) -> None:
    made = send(account.live, PURPOSE, part("file", LINES), END).json()
    assert made["filename"] == "upload.jsonl"


def test_fields_may_come_after_the_file(account: Account) -> None:
    anchor, seconds = part("expires_after[anchor]", b"created_at"), part("expires_after[seconds]", b"7200")
    made = send(account.live, file_part(), seconds, PURPOSE, anchor, END, b"epilogue").json()
    assert made["expires_at"] == made["created_at"] + 7200


def test_only_whole_files_that_have_not_expired_are_seen(account: Account, stack: Stack) -> None:
    id = kept(account.live)["id"]
    for values in ({"status": "uploading"}, {"status": "deleted"}, {"expires_at": clock.now_micros()}):
        before = dict(rows(stack, account.id)[0])
        _set(stack, id, **values)
        assert account.live.get(f"/files/{id}").status_code == 404
        assert account.live.get(f"/files/{id}/content").status_code == 404
        assert account.live.delete(f"/files/{id}").status_code == 404
        assert account.live.get("/files").json()["data"] == []
        _set(stack, id, status=before["status"], expires_at=before["expires_at"])
    assert account.live.get(f"/files/{id}").status_code == 200
    _set(stack, id, expires_at=None)
    assert account.live.get(f"/files/{id}").json()["expires_at"] is None


def _set(stack: Stack, id: str, **values: Any) -> None:
    statement = update(m.files).where(m.files.c.id == id).values(values)
    stack.write(lambda connection: connection.execute(statement).rowcount)


def test_a_deleted_file_leaves_nothing(account: Account, stack: Stack) -> None:
    id = kept(account.live)["id"]
    assert id in stored(stack)
    assert account.live.delete(f"/files/{id}").json() == {"id": id, "object": "file", "deleted": True}
    assert rows(stack, account.id) == [] and id not in stored(stack)


# -- once ---------------------------------------------------------------------------------------------------------


def test_a_replay_gives_the_first_file_and_keeps_nothing(account: Account, stack: Stack) -> None:
    headers = {"Idempotency-Key": "upload-1"}
    first = upload(account.live, headers=headers)
    before = stored(stack)
    again = upload(account.live, headers=headers)
    assert first.status_code == 200 and again.content == first.content
    assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers
    others: list[dict[str, Any]] = [
        {"content": LINES * 2},
        {"name": "other.jsonl"},
        {"fields": {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}},
    ]
    for other in others:
        refused(upload(account.live, headers=headers, **other), 422)
    assert len(rows(stack, account.id)) == 1 and stored(stack) == before
    assert upload(account.test, headers=headers).json()["id"] != first.json()["id"], "test keys are apart"


def test_a_key_used_by_many_at_once_makes_one_file(account: Account, stack: Stack) -> None:
    content = LINES * 5000
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: upload(account.live, content, headers={"Idempotency-Key": "many"}), range(6)))
    assert {answer.status_code for answer in answers} == {200} and len({answer.content for answer in answers}) == 1
    (row,) = rows(stack, account.id)
    assert row["id"] == answers[0].json()["id"] and row["bytes"] == len(content)


# -- on a bucket --------------------------------------------------------------------------------------------------


def test_a_stack_keeps_its_files_on_a_bucket(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    told = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1", "FUSIONAI_FILES_URL": "s3://fusionai-files/here"}  # fmt: skip
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with contextlib.closing(boto3.client("s3")) as s3, SimulatorProcess() as simulator:
        s3.create_bucket(Bucket="fusionai-files")
        stack = Stack(tmp_path, redis_server, simulator)
        try:
            stack.start()
            account = stack.account()
            content = bytes(range(256)) * 20_000
            made = kept(account.live, content)
            assert account.live.get(f"/files/{made['id']}/content").content == content
            (stored,) = s3.list_objects_v2(Bucket="fusionai-files")["Contents"]
            assert (stored["Key"], stored["Size"]) == (f"here/files/{made['id']}", len(content))
            server.stop()
            refused(upload(account.live), 503, "file storage is unavailable")
            refused(account.live.get(f"/files/{made['id']}/content"), 503)
            assert account.live.get("/files").json()["data"] == [made]
            account.close()
        finally:
            stack.stop()
    assert "Traceback" not in stack.log.read_text() and not (tmp_path / "files").exists()


# -- what is refused ----------------------------------------------------------------------------------------------


def test_what_is_wrong_is_said(account: Account, stack: Stack) -> None:
    live = account.live
    refused(live.post("/files", json={"purpose": "batch"}), 415, "multipart/form-data")
    refused(live.post("/files", data={"purpose": "batch"}), 415)
    refused(live.post("/files"), 415)
    refused(send(live, PURPOSE, END), said="file is missing")
    refused(send(live, END), said="file is missing")
    refused(send(live, PURPOSE, file_part(filename=b'; filename=""'), END), said="1 to 255")
    refused(send(live, PURPOSE, file_part(filename=b'; filename="%s"' % (b"x" * 256)), END), said="1 to 255")
    refused(send(live, PURPOSE, file_part(filename=b'; filename="a\x00b"'), END), said="NUL")
    refused(send(live, PURPOSE, file_part(filename=b'; filename="a\x1bb"'), END), said="control character")
    for one in ("\x9b", "\u2028", "\u202e", "\u2066"):
        name = f'; filename="a{one}b"'.encode()
        refused(send(live, PURPOSE, file_part(filename=name), END), said="control character")
    refused(send(live, PURPOSE, file_part(filename=b'; filename="\xff\xfe"'), END), said="not valid UTF-8")
    refused(send(live, PURPOSE, file_part(b""), END), said="file is empty")
    refused(send(live, PURPOSE, file_part(), file_part(), END), said="duplicate part 'file'")
    refused(
        send(live, PURPOSE, part("image", b"x", b'; filename="a"'), END),
        said="only the part named 'file' can be a file",
    )
    refused(send(live, file_part(), END), said="purpose is missing; the only supported purpose is 'batch'")
    refused(
        send(live, part("purpose", b"vision"), file_part(), END),
        said="'vision' is not supported; the only supported purpose is 'batch'",
    )
    refused(send(live, PURPOSE, PURPOSE, file_part(), END), said="duplicate field 'purpose'")
    refused(send(live, PURPOSE, file_part(), part("metadata", b"x"), END), said="metadata: unknown field")
    refused(send(live, part("purpose", b"\xff"), file_part(), END), said="purpose is not valid UTF-8")
    refused(send(live, part("purpose", b"x" * 5000), file_part(), END), said="longer than 1024 bytes")
    assert rows(stack, account.id) == []


@pytest.mark.parametrize(
    ("anchor", "seconds"),
    [("created_at", None), (None, "3600"), ("last_active_at", "3600"), ("created_at", "3599"),
     ("created_at", "2592001"), ("created_at", "1e5"), ("created_at", "-3600"), ("created_at", "３６００"),
     ("created_at", ""), ("created_at", "9" * 400), ("", "3600"), ("created_at", "3600.0")],
)  # fmt: skip
def test_bad_expiries(account: Account, anchor: str | None, seconds: str | None) -> None:
    given = {"expires_after[anchor]": anchor, "expires_after[seconds]": seconds}
    fields = {name: value for name, value in given.items() if value is not None}
    answer = upload(account.live, fields=fields)
    refused(answer, said="expires_after")
    assert answer.json()["error"]["param"].startswith("expires_after[")


def test_more_than_200_mb_is_refused_before_and_while_it_comes(account: Account, stack: Stack) -> None:
    before = stored(stack)
    refused(_answer_to_a_head(account, 300 * MB), 413, "200 MB")

    def pieces() -> Iterator[bytes]:
        yield PURPOSE + file_part()[: -len(LINES) - 2]
        for _ in range(201):
            yield b"x" * MB
        yield b"\r\n" + END

    kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    refused(account.live.post("/files", content=pieces(), headers=kind), 413, "200 MB")
    assert rows(stack, account.id) == [] and stored(stack) == before


def _answer_to_a_head(account: Account, length: int) -> httpx.Response:
    """Announce a body of that length, send none of it, and read what comes back."""
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.live_key}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", account.stack.port), timeout=10) as connection:
        connection.sendall(head.encode())
        came = b""
        while not came.endswith(b"}}"):
            came += connection.recv(65536)
    return httpx.Response(int(came.split()[1]), content=came.partition(b"\r\n\r\n")[2])


def test_an_upload_that_breaks_off_leaves_nothing(account: Account, stack: Stack) -> None:
    before, going = stored(stack), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield PURPOSE + file_part()[:-2]
        yield b"x" * 3 * MB
        going.set()
        raise ConnectionError("the client is gone")

    kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    with pytest.raises(ConnectionError):
        account.live.post("/files", content=pieces(), headers=kind)
    assert going.is_set() and kept(account.live)["status"] == "processed"
    assert len(rows(stack, account.id)) == 1 and len(stored(stack) - before) == 1
    assert "Traceback" not in stack.log.read_text()


# -- hostile bodies -----------------------------------------------------------------------------------------------


def broken() -> Iterator[tuple[bytes, ...]]:
    """Bodies that are not whole multipart."""
    good = (PURPOSE, file_part(), END)
    whole = b"".join(good)
    for cut in (0, 1, 10, 40, 70, 100, len(PURPOSE), len(whole) - len(END) - 1, len(whole) - 5):
        yield (whole[:cut],)
    yield (PURPOSE, file_part())
    yield (b"--other\r\n", whole)
    yield (b"garbage",)
    yield (b"\x00" * 1000,)
    yield (b"\r\n" * 100_000,)
    yield (b"--" * 100_000,)
    yield (b"--" + BOUNDARY, b"\n\n", END)
    yield (b"--%s\r\n\r\nno headers\r\n" % BOUNDARY, END)
    yield (b"--%s\r\nContent-Disposition\r\n\r\nx\r\n" % BOUNDARY, END)
    yield (b"--%s\r\n: x\r\n\r\nx\r\n" % BOUNDARY, END)
    yield (b"--%s\r\nContent-Type: text/plain\r\n\r\nx\r\n" % BOUNDARY, END)
    yield (b"--%s\r\nX-A: %s\r\n\r\nx\r\n" % (BOUNDARY, b"a" * 100_000), END)
    yield (b"--%s\r\n%s\r\n\r\nx\r\n" % (BOUNDARY, b"X-A: b\r\n" * 1000), END)
    yield (b'--%s\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\nx\r\n' % BOUNDARY, END)
    yield (b'--%s\r\nContent-Disposition: form-data; name="a\x00"\r\n\r\nx\r\n' % BOUNDARY, END)
    yield (*(part(f"f{n}", b"x") for n in range(1000)), END)
    yield (*[PURPOSE] * 3, file_part(), END)
    yield (file_part(filename=b"; filename"), END)
    yield (PURPOSE, file_part(), file_part(b"y" * MB), END)


def test_broken_multipart_is_never_our_fault(account: Account, stack: Stack) -> None:
    for parts in broken():
        answer = send(account.live, *parts)
        assert answer.status_code == 400, (parts, answer.text)
        refused(answer)
    for boundary in ("", "; boundary=", '; boundary=""', f"; boundary={'b' * 257}", "; boundary*=utf-8''x", ";;;="):
        answer = send(
            account.live, PURPOSE, file_part(), END, headers={"content-type": f"multipart/form-data{boundary}"}
        )
        refused(answer)
    assert rows(stack, account.id) == []


def test_a_thousand_mutations_of_a_good_body(account: Account, stack: Stack) -> None:
    chance = random.Random(11)
    good = b"".join((PURPOSE, part("expires_after[anchor]", b"created_at"), file_part(), END))
    for _ in range(1000):
        body = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(body))
            kind = chance.randrange(3)
            if kind == 0:
                body[at] = chance.randrange(256)
            elif kind == 1:
                del body[at : at + chance.randint(1, 30)]
            else:
                body[at:at] = chance.choice([b"\r\n", b"--", b"\x00", BOUNDARY, b'"', b";", body[at : at + 40]])
            body = body or bytearray(b"x")
        answer = send(account.test, bytes(body))
        assert answer.status_code < 500, (bytes(body), answer.text)
        if answer.status_code != 200:
            refused(answer)


def test_ids_that_are_none(account: Account) -> None:
    for id in ("file_0", "..", "%2e%2e", "x" * 5000, "file_%00", "%ff", "file_1%0a", "'; DROP TABLE files;--"):
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            answer = account.live.request(method, f"/files/{id}{path}")
            assert answer.status_code in (404, 405), (id, method, answer.text)
    for query in ("limit=0", "limit=x", "order=up", "after=%00", "what=1", f"after={'x' * 101}"):
        refused(account.live.get(f"/files?{query}"))
