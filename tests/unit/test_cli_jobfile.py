"""Lines of a submitted file: what is taken, what is refused and why, how it is cut and keyed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer import jobfile
from producer.jobfile import Line


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


EMBEDDING = {"model": "text-embedding-3-large", "input": "hello"}


@pytest.mark.parametrize(
    ("url", "type"),
    [
        ("/v1/chat/completions", "chat.completion"),
        ("/chat/completions", "chat.completion"),
        ("/v1/embeddings", "embedding"),
        ("/v1/images", "image"),
        ("/v1/images/generations", "image"),
    ],
)
def test_a_batch_line_becomes_a_job_of_its_endpoints_type(url: str, type: str) -> None:
    lines, problems = jobfile.parse([line(custom_id="a", method="POST", url=url, body={"model": "m", "x": 1})])
    assert not problems
    assert lines[0].job == {"type": type, "model": "m", "x": 1, "metadata": {"custom_id": "a"}}


def test_a_native_job_keeps_its_metadata_and_needs_no_custom_id() -> None:
    native = line(type="embedding", **EMBEDDING, metadata={"team": "x"})
    named = line(type="embedding", custom_id="b", **EMBEDDING, metadata={"team": "x"})
    lines, problems = jobfile.parse([native, b"  ", named])
    assert not problems
    assert [found.number for found in lines] == [1, 3]
    assert lines[0].job["metadata"] == {"team": "x"}
    assert lines[1].job["metadata"] == {"team": "x", "custom_id": "b"}
    assert "custom_id" not in lines[1].job


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"nope", "not JSON"),
        (b'{"type": NaN}', "not JSON: NaN"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "not a JSON object"),
        (line(url="/v1/embeddings", body=EMBEDDING), "custom_id is missing"),
        (line(custom_id="a", body=EMBEDDING), "url is missing"),
        (line(custom_id="a", url="/v1/embeddings"), "body is missing"),
        (line(custom_id="a", url="/v1/audio", body=EMBEDDING), "url '/v1/audio' is none of"),
        (line(custom_id="a", url=7, body=EMBEDDING), "url 7 is none of"),
        (line(custom_id="a", method="GET", url="/v1/embeddings", body=EMBEDDING), "method must be POST"),
        (line(custom_id="a", url="/v1/embeddings", body={"input": "x"}), "body.model is missing"),
        (line(custom_id="", type="embedding", **EMBEDDING), "custom_id must be"),
        (line(type="song", model="m"), "type 'song' is none of"),
        (line(type=["image"], model="m"), "is none of"),
        (line(model="m"), "type is missing"),
        (line(type="image"), "model is missing"),
        (line(type="image", model="m", custom_id="a", metadata=[1]), "metadata must be an object"),
    ],
)
def test_a_wrong_line_is_named_with_its_number_and_reason(raw: bytes, reason: str) -> None:
    lines, problems = jobfile.parse([line(type="embedding", **EMBEDDING), raw])
    assert len(lines) == 1
    assert [problem.number for problem in problems] == [2]
    assert reason in problems[0].reason


def test_a_custom_id_is_there_once() -> None:
    twice = [line(custom_id="a", type="embedding", **EMBEDDING)] * 2
    assert jobfile.parse(twice)[1] == [jobfile.Problem(2, "custom_id 'a' is already on line 1")]


def test_at_most_a_hundred_wrong_lines_are_listed() -> None:
    assert len(jobfile.parse([b"nope"] * 1000)[1]) == jobfile.MAX_PROBLEMS


@given(st.lists(st.integers(1, 9_000_000), max_size=40), st.integers(0, 1200))
def test_chunks_hold_every_line_once_in_order_and_fit_a_request(sizes: list[int], small: int) -> None:
    lines = [Line(n, None, {}, size) for n, size in enumerate([*sizes, *[1] * small])]
    cut = list(jobfile.chunks(lines))
    assert [one for chunk in cut for one in chunk] == lines
    for chunk in cut:
        assert 0 < len(chunk) <= jobfile.CHUNK_JOBS
        assert sum(one.size for one in chunk) <= jobfile.CHUNK_BYTES


def test_a_key_is_the_same_for_the_same_chunk_and_differs_for_any_other() -> None:
    key = jobfile.idempotency_key("aa", 0, scope="live")
    assert key == jobfile.idempotency_key("aa", 0, scope="live")
    others = [
        jobfile.idempotency_key("ab", 0, scope="live"),
        jobfile.idempotency_key("aa", 1, scope="live"),
        jobfile.idempotency_key("aa", 0, scope="test"),
        jobfile.idempotency_key("aa", 0, scope="live", salt="again"),
    ]
    assert len({key, *others}) == 5
    assert len(key) <= 64
