"""JSON that stands in strings, which no reader of bodies has looked at: nested too deeply it stays a text."""

import base64

import orjson
import pytest

from shared import strict_json
from shared.dialects.messages import answers, seals
from workers.providers.anthropic import turns
from workers.providers.google import contents

DEEP = '{"a":' + "[" * 300 + "]" * 300 + "}"
LARGE = '{"a":[' + ",".join(["[]"] * 100_001) + "]}"


@pytest.mark.parametrize("text", [DEEP, "[" * 5000 + "]" * 5000, LARGE, "{", "\ud800"])
def test_what_could_not_be_written_again_is_no_value(text: str) -> None:
    assert strict_json.within(text) is None


def test_arguments_that_are_too_deep_stay_a_text() -> None:
    for read in (answers._input, turns._arguments, lambda text: contents._object(text, "arguments")):
        (value,) = read(DEEP).values()
        assert value == DEEP and orjson.dumps(read(DEEP))
        assert read('{"a": {"b": [1]}}') == {"a": {"b": [1]}}


@pytest.mark.parametrize("content", [DEEP, LARGE])
def test_a_seal_that_was_made_by_somebody_else_is_read_within_the_bounds_of_a_body(content: str) -> None:
    data = seals.sealed({})["data"].partition(".")[0] + "." + base64.b64encode(content.encode()).decode()
    assert seals.is_sealed(data) and seals.unsealed(data) is None
