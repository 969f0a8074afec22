"""JSON that is read line by line is one line for every reader there is."""

import io
import json
import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.cli.output import Output
from producer.operations.batches import BatchSpec, lines_of
from shared.batches import json_lines
from workers.batches.rendering import _Part

#: Where some reader ends a line: Python's `splitlines`, JavaScript's, Unicode's.
ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
#: Texts of these, and of characters that share bytes with them.
TEXTS = st.text(st.sampled_from(ENDS + 'a\u2027\u202a\u0080\u00c2\u2014€\U0001f4a5\\"'), max_size=20)


@given(TEXTS, TEXTS)
def test_it_is_one_line_and_the_same_value(key: str, text: str) -> None:
    value = {key: [text, {"b": text}]}
    line = json_lines.line(value)
    assert orjson.loads(line) == value and line.endswith(b"\n")
    assert line.decode().splitlines() == [line.decode()[:-1]]
    shown = json_lines.safe_text(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value and len(shown.splitlines()) == 1


def test_what_needs_nothing_is_left_as_it_is() -> None:
    plain = orjson.dumps({"a": "“quoted” – é 💥"})
    assert json_lines.safe(plain) is plain or json_lines.safe(plain) == plain


def test_lines_of_files_and_of_the_command_are_such_lines(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"custom_id": f"a{ENDS}", "url": "/v1/embeddings", "body": {"input": ENDS}}
    file = io.BytesIO()
    _Part(file).write({"request": orjson.Fragment(orjson.dumps(value))})
    inline = lines_of(BatchSpec(requests=[value, value]))
    output = Output(as_json=True)
    output.record(value)
    output.value(value, lambda: None)
    told = capsys.readouterr().out
    record, _, whole = told.partition("\n")
    for text, lines in ((file.getvalue().decode(), 1), (inline.decode(), 2), (record, 1)):
        assert len(text.splitlines()) == lines and "a" in text
    assert json.loads(record) == json.loads(whole) == value
    assert not re.search("[\x85\u2028\u2029]", whole)
