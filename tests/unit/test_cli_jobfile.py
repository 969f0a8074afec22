"""Lines of a submitted file: what is taken, what is refused and why, how it is cut and keyed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionai.plain import job_file
from fusionai.plain.job_file import Line, Problem


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def parse(source: list[bytes]) -> tuple[list[Line], list[Problem]]:
    found = list(job_file.parse(source))
    return [one for one in found if isinstance(one, Line)], [one for one in found if isinstance(one, Problem)]


def sent(raw: bytes) -> dict[str, Any]:
    lines, problems = parse([raw])
    assert not problems
    assert lines[0].batch_line is not None
    value: dict[str, Any] = json.loads(lines[0].batch_line)
    return value


EMBEDDING = {"model": "text-embedding-3-large", "input": "hello"}


@pytest.mark.parametrize("path", ["/chat/completions", "/embeddings", "/images", "/images/generations"])
def test_a_batch_line_needs_neither_method_nor_custom_id_nor_the_version(path: str) -> None:
    for url in (path, f"/v1{path}"):
        whole = {"custom_id": "line-1", "method": "POST", "url": f"/v1{path}", "body": {"model": "m", "x": 1}}
        assert sent(line(url=url, body={"model": "m", "x": 1})) == whole


@pytest.mark.parametrize(
    ("type", "url"),
    [
        ("chat.completion", "/v1/chat/completions"),
        ("embedding", "/v1/embeddings"),
        ("image", "/v1/images/generations"),
    ],
)
def test_a_native_job_becomes_a_batch_line_and_keeps_its_metadata(type: str, url: str) -> None:
    made = sent(line(type=type, model="m", prompt="x", custom_id="b", metadata={"team": "x"}))
    assert made == {
        "custom_id": "b",
        "method": "POST",
        "url": url,
        "body": {"model": "m", "prompt": "x", "metadata": {"team": "x"}},
    }


def test_lines_keep_their_numbers() -> None:
    lines, problems = parse(
        [line(type="embedding", **EMBEDDING), b"  \n", b"nope", line(type="embedding", **EMBEDDING)]
    )
    assert [(found.number, found.batch_line is None) for found in lines] == [(1, False), (2, True), (4, False)]
    assert [problem.number for problem in problems] == [3]
    assert json.loads(lines[2].batch_line or b"")["custom_id"] == "line-4"


def test_a_custom_id_may_not_be_one_that_another_line_was_given() -> None:
    lines = [line(type="embedding", **EMBEDDING), line(type="embedding", custom_id="line-1", **EMBEDDING)]
    assert parse(lines)[1] == [Problem(2, "custom_id 'line-1' is already on line 1")]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"nope", "not JSON"),
        (b'{"type": NaN}', "not JSON: NaN"),
        (b"\xff\xfe", "not valid UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "not a JSON object"),
        (line(custom_id="a", body=EMBEDDING), "url is missing"),
        (line(custom_id="a", url="/v1/embeddings"), "body is missing"),
        (line(custom_id="a", url="/v1/audio", body=EMBEDDING), "url '/v1/audio' is none of"),
        (line(custom_id="a", url=7, body=EMBEDDING), "url 7 is none of"),
        (line(custom_id="a", method="GET", url="/v1/embeddings", body=EMBEDDING), "method must be POST"),
        (line(custom_id="a", url="/v1/embeddings", body={"input": "x"}), "body.model is missing"),
        (line(custom_id="x" * 513, type="embedding", **EMBEDDING), "custom_id must be a string of 1 to 512"),
        (line(custom_id=7, type="embedding", **EMBEDDING), "custom_id must be"),
        (line(custom_id="", type="embedding", **EMBEDDING), "custom_id must be"),
        (line(type="song", model="m"), "type 'song' is none of"),
        (line(type=["image"], model="m"), "is none of"),
        (line(model="m"), "type is missing"),
        (line(type="image"), "model is missing"),
        (line(type="image", model="m", custom_id="a", metadata=[1]), "metadata must be an object"),
    ],
)
def test_a_wrong_line_is_named_with_its_number_and_reason(raw: bytes, reason: str) -> None:
    lines, problems = parse([line(type="embedding", **EMBEDDING), raw])
    assert len(lines) == 1
    assert [problem.number for problem in problems] == [2]
    assert reason in problems[0].reason


def test_a_custom_id_is_there_once() -> None:
    twice = [line(custom_id="a", type="embedding", **EMBEDDING)] * 2
    assert parse(twice)[1] == [Problem(2, "custom_id 'a' is already on line 1")]


def test_at_most_a_hundred_wrong_lines_are_listed() -> None:
    assert len(parse([b"nope"] * 1000)[1]) == job_file.MAX_PROBLEMS


def test_a_key_is_the_same_for_the_same_content_and_differs_for_any_other() -> None:
    key = job_file.idempotency_key("aa", "file 0", scope="live")
    assert key == job_file.idempotency_key("aa", "file 0", scope="live")
    others = [
        job_file.idempotency_key("ab", "file 0", scope="live"),
        job_file.idempotency_key("aa", "batch 0", scope="live"),
        job_file.idempotency_key("aa", "file 0", scope="test"),
        job_file.idempotency_key("aa", "file 0", scope="live", salt="again"),
    ]
    assert len({key, *others}) == 5
    assert len(key) <= 64


@given(st.text(), st.text(min_size=1, max_size=512), st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_batch_line_that_is_whole_is_sent_as_it_stands(text: str, custom_id: str, number: float) -> None:
    body = {"model": "m", "input": text, "number": number}
    raw = line(custom_id=custom_id, method="POST", url="/v1/embeddings", body=body)
    assert parse([b"\n", raw + b"\r\n"]) == ([Line(1, None), Line(2, raw)], [])
