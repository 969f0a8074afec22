"""Entities before a chat's messages: what moves, what fits, and that it can be taken away again."""

from typing import Any

import orjson
import pytest

from shared.batches.line_files import FaultError
from shared.batches.lines import Wanted, read
from shared.batches.linked_lines import LinkedLines
from shared.batches.plan_lines import planned, unplanned
from shared.errors import FusionError, InvalidRequest
from shared.submissions import linked_context, linked_message, preface, quote
from shared.submissions.catalogue import catalogue
from shared.submissions.linked_context import Entity, Key
from shared.submissions.rows import priced
from shared.submissions.schemas import Submission, read_submission

KNOWN: dict[Key, Entity] = {
    ("ORG", "1"): Entity("ORG", "1", "Example\nAG", {"seat": "a\nb", "list": [1, None]}, "Text\nof two lines"),
    ("ORG", "2"): Entity("ORG", "2"),
}
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "hi", "cache_control": {"type": "ephemeral"}},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c", "content": "done"},
]


def chat(*ids: str, **changes: Any) -> Submission:
    refs = [{"type": "ORG", "id": id} for id in ids]
    body = {"model": "gpt-4", "messages": MESSAGES, "linked_context": refs, **changes}
    return read_submission("chat.completion", body)


def test_what_stands_beside_messages_moves_with_them_and_back() -> None:
    bare = chat("1", "2", "1")
    whole = linked_message.with_entities(bare, KNOWN)
    assert [one.id for one in whole.linked] == ["1", "2"] and len(whole.linked_bytes) == 2
    assert orjson.loads(whole.json) == whole.request
    told = whole.request["messages"][0]["content"]
    assert told == (
        f"{linked_message.HEAD}\n\nORG 1: Example AG\n- seat: a b\n- list: [1,null]\nText\nof two lines\n\nORG 2"
    )
    assert whole.request["extras"] == {"messages[1].cache_control": {"type": "ephemeral"}}
    assert whole.request["nulls"] == [2]
    assert preface.without(whole.request) == bare.request


def test_nothing_is_linked_to_nothing() -> None:
    bare = chat()
    assert linked_message.with_entities(bare, KNOWN) is bare and linked_context.as_json(bare.linked) is None


def test_an_unknown_entity_is_named_with_its_place() -> None:
    with pytest.raises(InvalidRequest) as error:
        linked_message.with_entities(chat("1", "9"), KNOWN, at="jobs[3].")
    assert error.value.param == "jobs[3].linked_context[1].id"


def test_what_is_linked_is_held_for() -> None:
    bare = chat("1")
    dear = linked_message.with_entities(chat("1"), {("ORG", "1"): Entity("ORG", "1", text="x" * 4_000)})
    before, after = (quote.bound(quote.offers(one, catalogue(), test=False)) for one in (bare, dear))
    assert after - before >= 4_000 * catalogue().prices["gpt-4"].input // 1_000_000


def test_more_than_the_model_reads_is_refused_and_named() -> None:
    linked_message.check_fits([400, 400], 200, "m", "")
    with pytest.raises(InvalidRequest) as error:
        linked_message.check_fits([400, 401], 200, "m", "body.")
    assert error.value.param == "body.linked_context[1]" and "200 tokens of m" in error.value.message
    linked_message.check_fits([10**9], 0, "m", "")


def test_all_entities_of_a_chat_are_bounded() -> None:
    large = {("ORG", str(number)): Entity("ORG", str(number), text="x" * 60_000) for number in range(20)}
    with pytest.raises(InvalidRequest) as error:
        linked_message.with_entities(chat(*map(str, range(20))), large)
    assert error.value.param == "linked_context[8]"
    with pytest.raises(InvalidRequest, match="at most 65,536"):
        linked_context.read_entity({"type": "ORG", "id": "1", "text": "ü" * 40_000})


def test_a_line_of_a_plan_keeps_it_and_one_of_before_has_none() -> None:
    whole = linked_message.with_entities(chat("1"), KNOWN)
    line = priced(whole, quote.offers(whole, catalogue(), test=False), "a")
    again = unplanned(planned(line))
    assert again.linked_context == '[{"type":"ORG","id":"1"}]' and again.custom_id == "a"
    before = b"\t".join(planned(line).rstrip(b"\n").split(b"\t")[:9]) + b"\n"
    assert unplanned(before).linked_context is None and unplanned(before).request == line.request


def batch_line(custom_id: str, *ids: str) -> bytes:
    refs = [{"type": "ORG", "id": id} for id in ids]
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}], "linked_context": refs}
    return orjson.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}) + b"\n"


def test_each_entity_of_a_file_is_looked_up_once_however_its_field_is_written() -> None:
    asked: list[list[Key]] = []

    def find(keys: Any) -> dict[Key, Entity]:
        asked.append(list(keys))
        return {key: KNOWN[key] for key in keys if key in KNOWN}

    link, wanted = LinkedLines(find), Wanted(None, test=False, may_link=True)
    chunk = [batch_line("a", "1"), batch_line("b", "2", "1").replace(b"linked_c", b"link\\u0065d_c"), b"{}\n", b"\n"]
    first = read(chunk, link(chunk, wanted))
    assert first.good == [0, 1] and asked == [[("ORG", "1"), ("ORG", "2")]]
    later = [batch_line("c", "2", "9")]
    part = read(later, link(later, wanted))
    assert [fault.param for fault in part.faults] == ["body.linked_context[1].id"] and asked[1:] == [[("ORG", "9")]]


def test_a_line_of_an_account_without_access_is_a_fault_and_looks_nothing_up() -> None:
    def find(keys: Any) -> dict[Key, Entity]:
        raise AssertionError

    chunk, wanted = [batch_line("a", "1")], Wanted(None, test=False)
    part = read(chunk, LinkedLines(find)(chunk, wanted))
    assert [(fault.param, fault.line) for fault in part.faults] == [("body.linked_context", 0)]


def test_what_entities_add_to_a_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    large = {("ORG", "1"): Entity("ORG", "1", text="x" * 1_000)}
    chunk, wanted = [batch_line(str(number), "1") for number in range(5)], Wanted(None, test=False, may_link=True)
    monkeypatch.setattr("shared.batches.linked_lines.MOST_ADDED_BYTES", 5_000)
    with pytest.raises(FaultError, match="split the batch"):
        LinkedLines(lambda keys: large)(chunk, wanted)


@pytest.mark.parametrize(
    "value",
    [
        {"id": "1"},
        {"type": "", "id": "1"},
        {"type": "A B", "id": "1"},
        {"type": "A", "id": "a\x7fb"},
        {"type": "A", "id": "x" * 257},
        {"type": "A", "id": "1", "attributes": []},
        {"type": "A", "id": "1", "text": 7},
        {"type": "A", "id": "1", "more": 7},
    ],
)
def test_wrong_entities(value: dict[str, Any]) -> None:
    with pytest.raises((ValueError, FusionError)):
        linked_context.read_entity(value)
