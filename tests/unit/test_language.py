"""The language of an answer: its codes, and the instruction that stands before a chat, priced and numbered as sent."""

from typing import Any

import orjson
import pytest

from shared.batches import line_requests
from shared.batches.lines import Wanted, read
from shared.batches.plan_lines import unplanned
from shared.errors import InvalidRequest
from shared.submissions import linked_message, preface, quote
from shared.submissions.catalogue import catalogue
from shared.submissions.languages import NAMES
from shared.submissions.linked_context import Entity
from shared.submissions.schemas import Submission, read_submission

HELLO = [{"role": "user", "content": "hi"}]
TOLD = "Answer in Dutch (language code nl), whatever language you are asked in."


def submission(**more: Any) -> Submission:
    return read_submission("chat.completion", {"model": "gpt-4", "messages": HELLO, **more})


def test_there_are_all_codes_with_names() -> None:
    assert len(NAMES) == 183 and NAMES["nl"] == "Dutch" and NAMES["zu"] == "Zulu" and NAMES["nb"] == "Norwegian Bokmål"
    assert all(len(code) == 2 and code.islower() and name.strip() == name for code, name in NAMES.items())


@pytest.mark.parametrize("value", ["xx", "NL", "nld", "n", "", "nl-BE", " nl", 5, True, ["nl"], {}])
def test_what_is_no_code_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_submission("chat.completion", {"model": "gpt-4", "messages": HELLO, "language": value}, at="body.")
    assert error.value.param == "body.language"


def test_the_model_is_told_before_the_messages_and_nothing_where_none_is_named() -> None:
    assert submission(language="nl").request["messages"] == [{"role": "system", "content": TOLD}, *HELLO]
    for bare in (submission(), submission(language=None)):
        assert bare.request["messages"] == HELLO and not bare.options.language


def test_it_is_held_for() -> None:
    bare, told = (
        quote.bound(quote.offers(one, catalogue(), test=False)) for one in (submission(), submission(language="nl"))
    )
    assert told > bare


def test_it_stands_in_one_message_with_linked_entities() -> None:
    known = {("ORG", "1"): Entity("ORG", "1", "Example AG")}
    one = submission(language="nl", linked_context=[{"type": "ORG", "id": "1"}])
    whole = linked_message.with_entities(one, known)
    first, *rest = whole.request["messages"]
    assert rest == HELLO and first["content"] == f"{TOLD}\n\n{linked_message.HEAD}\n\nORG 1: Example AG"
    assert preface.without(whole.request)["messages"] == HELLO


def test_messages_keep_their_numbers() -> None:
    turns = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call()]},
        result(),
        {**HELLO[0], "cache_control": {"type": "x"}},
    ]
    one = submission(language="nl", messages=turns)
    assert list(one.request["extras"]) == ["messages[4].cache_control"] and one.request["nulls"] == [2]
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]
    with pytest.raises(InvalidRequest) as error:
        seen = read_submission(
            "chat.completion", {"model": "deepinfra.deepseek-r1", "messages": picture, "language": "nl"}
        )
        quote.offers(seen, catalogue(), test=False)
    assert error.value.param == "messages[0].content[0].image_url.url"


def call() -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def result() -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "c", "content": "1"}


def test_a_line_is_sent_again_as_it_was() -> None:
    body = {"model": "gpt-4", "messages": HELLO, "max_tokens": 5, "language": "nl", "include_thinking": True}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    part = read([orjson.dumps(line)], Wanted(None, test=False))
    assert not part.faults
    planned = unplanned(part.plan)
    assert orjson.loads(planned.request)["messages"][0]["content"] == TOLD
    assert orjson.loads(orjson.dumps(line_requests.of_plan(planned)))["body"] == body
