"""What clients and servers write into a request beside OpenAI's own fields: taken, sent on where it is wanted, told."""

import copy
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.batches import line_requests
from shared.batches.lines import Wanted, read
from shared.batches.plan_lines import unplanned
from shared.errors import InvalidRequest
from shared.submissions import extras
from shared.submissions.offers import Offer
from shared.submissions.schemas import read_submission
from shared.submissions.sending import Sending, Words, sending
from workers.providers import ProviderCall
from workers.providers.openai.request import MOST_LISTED, composed, ignored, left_out

MARK = {"cache_control": {"type": "ephemeral"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}
HI = {"role": "user", "content": "hi"}
OFFER = Offer(provider="p", model="m", upstream="up", input=1, output=1, version="v", max_output=9, bound_micros=1)


def asked(body: dict[str, Any], *, unknown: bool = False) -> ProviderCall:
    before = copy.deepcopy(body)
    submission = read_submission("chat.completion", {"model": "gpt-4", **body}, ignore_unknown=unknown)
    assert body == before, "the caller's body is left as it is: its fingerprint is taken of it"
    assert orjson.loads(submission.json) == submission.request
    return ProviderCall("job_1", "chat.completion", submission.request, OFFER)


def sent(body: dict[str, Any], *takes: str, **words: Any) -> dict[str, Any]:
    return composed(asked(body), Sending(takes=frozenset(takes), **words))


def told(body: dict[str, Any], *takes: str, unknown: bool = False) -> list[str]:
    return list(left_out(asked(body, unknown=unknown), Sending(takes=frozenset(takes))))


#: (the body, the path of its mark)
MARKED: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "system", "content": "a", **MARK}, HI]}, "messages[0].cache_control"),
    ({"messages": [{"role": "developer", "content": "a", **MARK}, HI]}, "messages[0].cache_control"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", **MARK}]}]},
        "messages[0].content[0].cache_control",
    ),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "a"},
                        {"type": "image_url", "image_url": {"url": "https://a.b/c"}, **MARK},
                    ],
                }
            ]
        },
        "messages[0].content[1].cache_control",
    ),
    ({"messages": [HI], "tools": [TOOL, {**TOOL, **MARK}]}, "tools[1].cache_control"),
    (
        {"messages": [HI], "tools": [{"type": "function", "function": {"name": "f", **MARK}}]},
        "tools[0].function.cache_control",
    ),
    (
        {"messages": [HI, {"role": "assistant", "tool_calls": [{**CALL, **MARK}]}]},
        "messages[1].tool_calls[0].cache_control",
    ),
    ({"messages": [{"role": "tool", "tool_call_id": "c1", "content": "a", **MARK}]}, "messages[0].cache_control"),
    (
        {"messages": [{"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a", **MARK}]}]},
        "messages[0].content[0].cache_control",
    ),
    ({"messages": [HI], **MARK}, "cache_control"),
]


def without_marks(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_marks(one) for name, one in value.items() if name != "cache_control"}
    return [without_marks(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("body", "path"), MARKED, ids=[path for _, path in MARKED])
def test_a_mark_for_a_cache_goes_on_where_it_is_taken_and_is_told_elsewhere(body: dict[str, Any], path: str) -> None:
    assert told(body) == [path] and told(body, "cache_control") == []
    plain = {"model": "up", "max_tokens": 9, **without_marks(body)}
    assert sent(body) == plain
    assert sent(body, "cache_control") == {"model": "up", "max_tokens": 9, **body}


@pytest.mark.parametrize(("body", "path"), MARKED, ids=[path for _, path in MARKED])
def test_batch_lines_take_them_too_and_can_be_sent_again(body: dict[str, Any], path: str) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4", **body}}
    part = read([orjson.dumps(line)], Wanted(None, test=False))
    assert not part.faults
    again = orjson.loads(orjson.dumps(line_requests.of_plan(unplanned(part.plan))))
    assert again["body"] == line["body"]


#: What servers answer with, and clients send back as a turn: who does, and what stands beside role and content.
TURNS: dict[str, dict[str, Any]] = {
    "openai": {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None},
    "openai, cited": {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.b"}}]},
    "openai, spoken": {"audio": {"id": "audio_1", "data": "AA==", "expires_at": 5, "transcript": "hi"}},
    "openai's sdk": {"parsed": {"a": 1}, "tool_calls": []},
    "azure": {"context": {"citations": [], "intent": "[]"}, "end_turn": True, "content_filter_results": {"hate": {}}},
    "anthropic": {"refusal": None, "reasoning_content": "Let me see."},
    "google": {"extra_content": {"google": {"thought_signature": "AA=="}}},
    "deepseek": {"reasoning_content": "Let me see."},
    "deepseek, begun": {"prefix": True, "reasoning_content": ""},
    "groq": {"reasoning": "Let me see.", "executed_tools": [{"type": "search"}], "channel": "final"},
    "openrouter": {
        "reasoning": "Let me see.",
        "reasoning_details": [{"type": "reasoning.text", "text": "Let me see.", "signature": None}],
        "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
        "annotations": [],
    },
    "vllm": {
        "reasoning_content": None, "reasoning": "a", "tool_calls": [], "function_call": None, "audio": None,
        "annotations": None, "refusal": None, "token_ids": None, "stop_reason": None,
    },
    "llama.cpp": {"reasoning_content": "Let me see."},
    "litellm": {
        "thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": "b"}], "reasoning_content": "a",
        "provider_specific_fields": {"citations": None}, "function_call": None, "tool_calls": None, "images": [],
    },
    "perplexity and xai": {"citations": ["https://a.b"], "search_results": [{}], "reasoning_steps": []},
    "a client's own": {"id": "msg_1", "logprobs": {"content": []}, "name": "bot"},
}  # fmt: skip


@pytest.mark.parametrize("wrote", TURNS)
@pytest.mark.parametrize("content", ["42", None, [], [{"type": "text", "text": "42"}]])
def test_what_a_server_wrote_is_taken_back_as_a_turn(wrote: str, content: Any) -> None:
    body = {"messages": [HI, {"role": "assistant", "content": content, **TURNS[wrote]}, HI]}
    turn = sent(body)["messages"][1]
    assert turn.keys() <= {"role", "content", "name"} and turn["content"] == (content or "")
    full = [name for name, value in TURNS[wrote].items() if value not in (None, [], {}, "") and name != "name"]
    same = {"reasoning_content"} if wrote == "litellm" else set()
    assert {path.removeprefix("messages[1].") for path in told(body)} == set(full) | same


def test_what_calls_came_with_is_taken_back_too() -> None:
    signed = {"extra_content": {"google": {"thought_signature": "AA=="}}}
    call = {**CALL, **signed, "index": 0, "provider_specific_fields": {"thought_signature": "AA=="}}
    call["function"] = {"name": "f", "arguments": "{}", "parsed_arguments": {}, "thought_signature": "x"}
    body = {"messages": [HI, {"role": "assistant", "content": None, "tool_calls": [call]}]}
    assert sent(body)["messages"][1]["tool_calls"] == [CALL]
    assert sent(body, "extra_content")["messages"][1]["tool_calls"] == [{**CALL, **signed}]
    assert told(body, "extra_content") == [
        "messages[1].tool_calls[0].provider_specific_fields",
        "messages[1].tool_calls[0].function.thought_signature",
    ]


@pytest.mark.parametrize("arguments", [{"a": 1}, [1], None, '{"a":1}'])
def test_arguments_that_are_no_text_become_one(arguments: Any) -> None:
    call = {**CALL, "function": {"name": "f", "arguments": arguments}}
    kept = sent({"messages": [HI, {"role": "assistant", "tool_calls": [call]}]})["messages"][1]["tool_calls"][0]
    assert kept["function"]["arguments"] == {"[1]": "[1]", "None": "{}"}.get(str(arguments), '{"a":1}')


class TestReasoning:
    """Thoughts sent back: under the name that the model takes, or not at all."""

    @pytest.mark.parametrize(
        "given", [{"reasoning_content": "a"}, {"reasoning": "a"}, {"reasoning": "a", "reasoning_content": "a"}]
    )
    def test_either_name_is_read(self, given: dict[str, Any]) -> None:
        body = {"messages": [HI, {"role": "assistant", "content": "b", **given}]}
        assert sent(body, "reasoning_content")["messages"][1] == {
            "role": "assistant",
            "content": "b",
            "reasoning_content": "a",
        }
        assert sent(body, "reasoning")["messages"][1] == {"role": "assistant", "content": "b", "reasoning": "a"}
        assert told(body, "reasoning") == told(body, "reasoning_content") == []
        assert told(body) == [f"messages[1].{next(iter(given))}"]

    @pytest.mark.parametrize(
        "thought",
        [{"type": "thinking", "thinking": "a", "signature": "s"}, {"type": "reasoning", "text": "a"},
         {"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}],
    )  # fmt: skip
    def test_thoughts_among_the_parts(self, thought: dict[str, Any]) -> None:
        parts = [thought, {"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "b"}]
        body = {"messages": [HI, {"role": "assistant", "content": parts}]}
        turn = {"role": "assistant", "content": [{"type": "text", "text": "b"}]}
        assert sent(body)["messages"][1] == turn
        assert sent(body, "reasoning_content")["messages"][1] == {**turn, "reasoning_content": "a"}

    def test_a_user_has_none_among_the_parts(self) -> None:
        with pytest.raises(InvalidRequest, match=r"messages\[0\]\.content\[0\]"):
            asked({"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": "a"}]}]})


class TestUnknown:
    """A field that nobody knows: a 400 with its path, or left out and told."""

    BODY: ClassVar[dict[str, Any]] = {
        "messages": [{**HI, "mood": "good"}, {"role": "user", "content": [{"type": "text", "text": "a", "bold": 1}]}],
        "colour": "red",
        "tools": [{"type": "function", "function": {"name": "f", "strength": 5}}],
        "response_format": {"type": "text", "x": 1},
        "stream_options": {"usage": True},
        "routing": {"budget": "quality", "speed": 1},
    }
    PATHS = (
        "routing.speed", "messages[0].mood", "messages[1].content[0].bold", "tools[0].function.strength",
        "response_format.x", "stream_options.usage", "colour",
    )  # fmt: skip

    def test_each_is_a_400(self) -> None:
        for name in self.BODY:
            with pytest.raises(InvalidRequest) as refused:
                asked({"messages": [HI], name: self.BODY[name]})
            assert refused.value.param in self.PATHS and "unknown field" in refused.value.message

    def test_or_all_are_told(self) -> None:
        assert set(told(self.BODY, unknown=True)) == set(self.PATHS)
        body = composed(asked(self.BODY, unknown=True), Sending())
        assert body["messages"] == [HI, {"role": "user", "content": [{"type": "text", "text": "a"}]}]
        assert body["tools"] == [TOOL] and "colour" not in body

    def test_a_wrong_value_is_a_400_all_the_same(self) -> None:
        for wrong in ({"temperature": 3}, {"messages": [{"role": "robot", "content": "a"}]}, {"tools": [5]}):
            with pytest.raises(InvalidRequest):
                asked({"messages": [HI], **wrong}, unknown=True)

    def test_a_huge_name_is_cut_and_many_are_counted(self) -> None:
        (path,) = told({"messages": [HI], "x" * 100_000: 1}, unknown=True)
        assert len(path) <= 100
        many = asked({"messages": [HI], **{f"x{number}": 1 for number in range(1000)}}, unknown=True)
        assert len(ignored(many)) == MOST_LISTED + 1 and ignored(many)[-1] == f"and {1000 - MOST_LISTED} more"


def test_what_stands_beside_costs_only_where_it_is_sent() -> None:
    from shared.submissions import quote
    from shared.submissions.catalogue import catalogue

    def bound(**more: Any) -> int:
        body = {"model": "gpt-4", "messages": [HI, {"role": "assistant", "content": "a", **more}], "max_tokens": 1}
        (offer,) = quote.offers(read_submission("chat.completion", body), catalogue(), test=False)
        return offer.bound_micros

    assert bound(reasoning_content="a" * 10_000) - bound() < bound() / 10


def test_a_rows_words_stand_above_its_providers() -> None:
    provider = Words(omit=["seed", "top_p"], takes=["a"], limit="max_completion_tokens", rename={"seed": "s"})
    model = Words(omit=["n"], takes=["top_p"], limit="max_tokens", rename={"user": "u"})
    made = sending(provider, model, "gpt-5")
    assert made.omit == {"seed", "n"} and made.takes == {"a", "top_p"}
    assert made.rename == {"seed": "s", "user": "u"}, "the row's limit is the usual name"
    assert sending(provider, Words(), "x").rename == {"seed": "s", "max_tokens": "max_completion_tokens"}


@pytest.mark.parametrize(
    ("upstream", "renamed"),
    [("gpt-5", True), ("gpt-5.1-mini", True), ("gpt5", True), ("openai/gpt-5", True), ("o1", True), ("o3-mini", True),
     ("gpt-10", True), ("gpt-4", False), ("gpt-4o", False), ("gpt-oss-120b", False), ("olmo-2", False),
     ("think", False), ("deepseek-ai/DeepSeek-R1", False)],
)  # fmt: skip
def test_the_limit_goes_under_the_name_that_the_upstream_takes(upstream: str, renamed: bool) -> None:
    words = sending(Words(), Words(), upstream)
    body = composed(asked({"messages": [HI], "max_completion_tokens": 5}), words)
    assert body == {"model": "up", "messages": [HI], "max_completion_tokens" if renamed else "max_tokens": 5}


def test_a_default_gives_way_and_of_two_that_exclude_each_other_the_first_is_sent() -> None:
    words: dict[str, Any] = {"defaults": {"temperature": 0.7}, "either": ("temperature", "top_p")}
    assert sent({"messages": [HI]}, **words)["temperature"] == 0.7
    assert sent({"messages": [HI], "temperature": 0}, **words)["temperature"] == 0
    lone = sent({"messages": [HI], "top_p": 0.9}, **words)
    assert lone["top_p"] == 0.9 and "temperature" not in lone
    both = asked({"messages": [HI], "top_p": 0.9, "temperature": 0.2})
    assert "top_p" not in composed(both, Sending(**words)) and list(left_out(both, Sending(**words))) == ["top_p"]
    assert sent({"messages": [HI], "top_p": 0.9}, defaults={"temperature": 0.7})["temperature"] == 0.7


def test_names_and_roles_are_the_providers() -> None:
    body = {"messages": [{"role": "developer", "content": "a"}, HI], "seed": 5, "top_k": 3}
    made = sent(body, "top_k", rename={"seed": "random_seed"}, roles={"developer": "system"})
    assert [message["role"] for message in made["messages"]] == ["system", "user"]
    assert made["random_seed"] == 5 and "seed" not in made and made["top_k"] == 3


def test_a_field_of_messages_that_a_provider_lacks_is_left_out_and_told() -> None:
    what = asked({"messages": [HI, {**HI, "name": "ann"}]})
    words = sending(Words(omit=["messages[].name"]), Words(), "m")
    assert composed(what, words)["messages"] == [HI, HI] and list(left_out(what, words)) == ["messages[1].name"]
    assert composed(what, Sending())["messages"][1]["name"] == "ann" and list(left_out(what, Sending())) == []


def test_messages_of_tools_say_whose_answer_they_are_where_that_is_wanted() -> None:
    answer = {"role": "tool", "tool_call_id": "c1", "content": "1"}
    turns = [
        HI,
        {"role": "assistant", "tool_calls": [CALL]},
        answer,
        {**answer, "name": "own"},
        {**answer, "tool_call_id": "x"},
    ]
    made = sent({"messages": turns}, tool_names=True)["messages"]
    assert [message.get("name") for message in made] == [None, None, "f", "own", None]
    assert sent({"messages": turns})["messages"] == turns


def test_a_null_content_is_sent_where_it_was_said() -> None:
    """DeepSeek's server wants the field there."""
    turns = [
        HI,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ]
    what = asked({"messages": turns})
    assert composed(what, Sending())["messages"] == turns and list(left_out(what, Sending())) == []
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}
    part = read([orjson.dumps({**line, "body": {"model": "gpt-4", "messages": turns}})], Wanted(None, test=False))
    assert orjson.loads(orjson.dumps(line_requests.of_plan(unplanned(part.plan))))["body"]["messages"] == turns


def test_a_line_of_pictures_is_sent_again_as_it_was() -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/images/generations"}
    body = {"model": "image-gen-2", "prompt": "a cat", "quality": "high", "size": "1024x1024"}
    for whole in (body, {**body, "n": 1, "response_format": "url"}):
        part = read([orjson.dumps({**line, "body": whole})], Wanted(None, test=False))
        assert orjson.loads(orjson.dumps(line_requests.of_plan(unplanned(part.plan))))["body"] == whole


@pytest.mark.parametrize("name", ["functions", "function_call", "audio"])
def test_a_null_of_what_is_not_served_says_nothing(name: str) -> None:
    assert sent({"messages": [HI], name: None}) == sent({"messages": [HI]})
    with pytest.raises(InvalidRequest, match="unknown field"):
        asked({"messages": [HI], name: []})


def test_effort_is_sent_in_openais_word() -> None:
    body = {"messages": [HI], "reasoning": {"effort": "high"}}
    assert sent(body)["reasoning_effort"] == "high" and told(body) == []
    assert sent(body, "reasoning")["reasoning"] == {"effort": "high"}
    assert told({"messages": [HI], "reasoning": {"max_tokens": 5}}) == ["reasoning"]


def test_options_of_the_stream_that_nothing_follows_are_told() -> None:
    options = {"include_usage": True, "include_obfuscation": True, "continuous_usage_stats": False}
    assert told({"messages": [HI], "stream_options": options}) == ["stream_options.include_obfuscation"]


def test_every_place_of_a_path_can_be_found_again() -> None:
    body: dict[str, Any] = {"messages": [{"content": [{}, {"a": 1}]}], "tools": [{"function": {}}]}
    kept = {"messages[0].content[1].x": [1], "tools[0].function.y": "z", "top": {}}
    assert extras.put(body, kept) == {
        "messages": [{"content": [{}, {"a": 1, "x": [1]}]}],
        "tools": [{"function": {"y": "z"}}],
        "top": {},
    }
    assert "x" not in body["messages"][0]["content"][1]


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["", "a", "text", "thinking", "image", "assistant"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "type text thinking image source data url image_url detail role content tool_calls function arguments "
                "cache_control reasoning reasoning_content index x".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(content=_VALUES, beside=st.dictionaries(st.sampled_from(["tool_calls", "reasoning", "name", "x"]), _VALUES))
def test_whatever_stands_in_a_message_is_read_or_refused(content: Any, beside: dict[str, Any]) -> None:
    for role in ("assistant", "user", "tool"):
        for unknown in (False, True):
            try:
                what = asked({"messages": [{"role": role, "content": content, **beside}]}, unknown=unknown)
            except InvalidRequest:
                continue
            composed(what, Sending(takes=frozenset(["cache_control", "reasoning"])))
            assert isinstance(ignored(what), list)


def test_what_a_model_takes_beside_tools_is_fixed_by_its_row_and_told() -> None:
    words = {"with_tools": {"reasoning_effort": "none"}, "defaults": {"reasoning_effort": "low"}}

    def both(body: dict[str, Any]) -> tuple[Any, list[str]]:
        return sent(body, **words).get("reasoning_effort"), list(left_out(asked(body), Sending(**words)))

    plain = {"messages": [HI]}
    assert both(plain) == ("low", []) and both({**plain, "reasoning_effort": "high"}) == ("high", [])
    tools = {**plain, "tools": [TOOL]}
    assert both(tools) == ("none", []) and both({**tools, "reasoning_effort": "none"}) == ("none", [])
    assert both({**tools, "reasoning_effort": "high"}) == ("none", ["reasoning_effort"])
    assert both({**tools, "reasoning": {"effort": "high"}}) == ("none", ["reasoning"])
    assert sending(Words(with_tools={"a": 1}), Words(with_tools={"b": 2}), "u").with_tools == {"a": 1, "b": 2}


def test_pictures_in_results_of_tools_follow_them_in_a_turn_of_the_user() -> None:
    """The protocol has no place for them in the results, where a provider does not look at them."""
    picture = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    text = {"type": "text", "text": "here"}
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in "ab"]
    called = {"role": "assistant", "content": "a", "tool_calls": calls}
    results = [
        {"role": "tool", "tool_call_id": "a", "content": [text, picture]},
        {"role": "tool", "tool_call_id": "b", "content": [picture]},
    ]
    body = {"messages": [HI, called, *results, HI]}
    bare = [{**results[0], "content": [text]}, {**results[1], "content": ""}]
    shown = {"role": "user", "content": [picture, picture]}
    assert composed(asked(body), Sending())["messages"] == [HI, called, *bare, shown, HI]
    ending = {"messages": [HI, called, *results]}
    assert composed(asked(ending), Sending())["messages"] == [HI, called, *bare, shown]
    assert list(left_out(asked(body), Sending())) == []
