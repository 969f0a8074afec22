"""What the console's pages of batches and new work are made of: progress, forms as requests, uploads, code."""

import asyncio
import io
import shlex
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.requests import Request

from producer.console import code_samples, composing, progress
from producer.console.api import Call
from producer.console.composing import FormError
from producer.console.uploading import AsCommands, FormUpload
from producer.web.uploads import read_upload


def batch(**changes: Any) -> dict[str, Any]:
    counts = {"total": 200, "completed": 90, "failed": 10}
    ends = dict.fromkeys(("completed_at", "failed_at", "expired_at", "cancelled_at"))
    rest = {"status": "in_progress", "in_progress_at": 1000, "hold": "all", "waiting_for": None}
    return {"request_counts": counts, "credits_used": 1.5, "credits_held": 2.0, **ends, **rest, **changes}


def counted(running: int = 0, **unanswered: int) -> dict[str, Any]:
    reasons = [{"reason": reason, "count": count} for reason, count in unanswered.items()]
    return {"providers": [{"running": running}], "reasons": reasons}


def test_the_bar_has_every_line_once_and_is_full() -> None:
    found = progress.of(batch(), 1050, counted(30, expired=4))
    assert [(part.kind, part.word, part.count) for part in found.parts] == [
        ("done", "succeeded", 90),
        ("failed", "failed", 6),
        ("amber", "expired", 4),
        ("running", "running", 30),
        ("queued", "waiting", 70),
    ]
    assert sum(part.count for part in found.parts) == found.total
    assert found.parts[-1].start + found.parts[-1].width == pytest.approx(100, abs=0.01)
    assert (found.rate, found.seconds_left, found.percent) == (2.0, 50, 50)


def test_rate_and_time_left_are_told_only_where_they_are_known() -> None:
    assert progress.of(batch(in_progress_at=None), 1050).rate is None
    assert progress.of(batch(), 1000).rate is None
    over = progress.of(batch(status="completed", completed_at=1100), 9999)
    assert (over.rate, over.seconds_left, over.seconds_taken, over.active) == (1.0, None, 100, False)


@pytest.mark.parametrize("waiting_for", ["credits", "budget"])
def test_no_time_is_left_to_tell_of_a_batch_that_waits(waiting_for: str) -> None:
    found = progress.of(batch(waiting_for=waiting_for), 1050)
    assert (found.rate, found.seconds_left) == (2.0, None)


@pytest.mark.parametrize("unknown", [{"hold": "slices"}, {"status": "validating"}, {"waiting_for": "credits"}])
def test_what_a_batch_costs_at_most_is_not_told_before_it_is_known(unknown: dict[str, Any]) -> None:
    assert progress.of(batch(**unknown), 1050).credits_most is None
    assert progress.of(batch(), 1050).credits_most == 3.5


def test_a_batch_that_was_refused_has_no_bar() -> None:
    counts = {"total": 0, "completed": 0, "failed": 0}
    found = progress.of(batch(request_counts=counts, status="failed", failed_at=1001, in_progress_at=None), 1050)
    assert (found.parts, found.percent, found.rate) == ([], 0, None)


def form(*pairs: tuple[str, str]) -> FormData:
    return FormData([("model", "gpt-4"), *pairs])


def test_a_form_becomes_the_request_that_it_says() -> None:
    filled = form(
        *(("role", "system"), ("content", " "), ("role", "user"), ("content", "a\r\nb"), ("role", "root")),
        *(("content", "c"), ("max_tokens", "50"), ("temperature", "0,5"), ("top_p", "1"), ("metadata", "a=b=c\n\n")),
        *(("response_format", "json_object"), ("others", '{"stop": ["END"]}'), ("csrf", "x"), ("do", "send")),
    )
    assert composing.body_of("chat.completion", filled) == {
        "model": "gpt-4",
        "messages": [{"role": "user", "content": "a\nb"}, {"role": "user", "content": "c"}],
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 1,
        "response_format": {"type": "json_object"},
        "metadata": {"a": "b=c"},
        "stop": ["END"],
    }
    assert composing.body_of("embedding", form(("input", "one\r\ntwo")))["input"] == ["one", "two"]
    assert composing.body_of("image", form(("prompt", "x"), ("n", "2"))) == {"model": "gpt-4", "prompt": "x", "n": 2}


@pytest.mark.parametrize(
    ("param", "pairs"),
    [
        ("messages", ()),
        ("max_tokens", (("max_tokens", "many"),)),
        ("max_tokens", (("max_tokens", "9" * 40),)),
        ("temperature", (("temperature", "nan"),)),
        ("temperature", (("temperature", "1e999"),)),
        ("metadata", (("metadata", "no sign"),)),
        ("others", (("others", "{"),)),
        ("others", (("others", "[1]"),)),
        ("others", (("others", '{"a": NaN}'),)),
    ],
)
def test_what_makes_no_request_says_at_which_field(param: str, pairs: tuple[tuple[str, str], ...]) -> None:
    said = () if param == "messages" else (("role", "user"), ("content", "hi"))
    with pytest.raises(FormError) as caught:
        composing.body_of("chat.completion", form(*said, *pairs))
    assert caught.value.param == param and caught.value.message


NAMES = ["plain.jsonl", 'a "b"; c, d\\.jsonl', "日本.jsonl", "x' $(rm -rf) `y`.jsonl", "<img src=x onerror=y>.jsonl"]


@pytest.mark.parametrize("name", [*NAMES, 'line\r\nContent-Type: x"\r\n\r\n.jsonl'])
def test_an_upload_is_what_the_api_reads_whatever_the_file_is_called(name: str) -> None:
    content = b'{"custom_id": "1"}\r\n--boundary\r\n' * 20_000
    file = UploadFile(io.BytesIO(content), size=len(content), filename=name, headers=Headers())
    sent = FormUpload(file, "once-1")
    received = asyncio.run(_received(sent))
    expected = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    assert received == (expected, {"purpose": "batch"}, content)
    assert sent.call.headers["Idempotency-Key"] == "once-1"


async def _received(sent: FormUpload) -> tuple[str, dict[str, str], bytes]:
    """The file's name, the other fields and the file, as the API reads them; the length that is declared holds."""
    pieces: AsyncIterator[bytes] = sent.pieces()
    total = 0

    async def receive() -> dict[str, Any]:
        nonlocal total
        piece = await anext(pieces, None)
        total += len(piece or b"")
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    headers = [(name.lower().encode(), value.encode()) for name, value in sent.call.headers.items()]
    upload = await read_upload(Request({"type": "http", "method": "POST", "headers": headers}, receive))
    try:
        assert total == int(sent.call.headers["Content-Length"])
        return upload.filename, upload.fields, upload.content.read()
    finally:
        upload.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_a_batch_name_its_file_as_it_is(name: str) -> None:
    spec = {"input_file_id": "file_1", "completion_window": "24h", "hold": "slices"}
    command = AsCommands(name, Call("POST", "/v1/batches", body=spec)).as_curl("http://h").partition("\n\n")[0]
    part = shlex.split(command)[-1].removeprefix("file=@")
    assert (part[1:-1].replace('\\"', '"').replace("\\\\", "\\") if part.startswith('"') else part) == name
    code = code_samples.python_batch(name, spec, "http://h")
    compile(code, "sample", "exec")
    assert repr(name) in code and "extra_body={'hold': 'slices'}" in code and "file_1" not in code
