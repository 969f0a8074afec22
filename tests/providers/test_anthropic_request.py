"""What of a canonical request the Anthropic adapter sends, in the provider's words, and what it lists as ignored."""

from collections.abc import Mapping
from typing import Any

import pytest

from shared.submissions.sending import Sending
from tests.pictures import data_url, png
from tests.providers.claude import SENDING, TAKES, composed_of, sent, user

HI = [user("hi")]
PNG = data_url(png())
DATA = PNG.partition(",")[2]
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells it.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
CACHED = {"cache_control": {"type": "ephemeral"}}


def turns(*messages: Mapping[str, Any]) -> Any:
    """The turns that are sent for messages."""
    return sent({"messages": list(messages)})["messages"]


def test_a_request_has_the_limit_that_the_provider_requires() -> None:
    assert sent({"messages": HI}) == {
        "model": "claude-haiku-4-5",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }
    assert sent({"messages": HI, "max_completion_tokens": 7})["max_tokens"] == 7


def test_instructions_stand_at_the_top_wherever_they_stood() -> None:
    made = sent(
        {
            "messages": [
                {"role": "system", "content": "One."},
                user("hi"),
                {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
                {"role": "assistant", "content": "Yes?"},
                user("Go on."),
            ]
        }
    )
    assert [block["text"] for block in made["system"]] == ["One.", "Two."]
    assert [turn["role"] for turn in made["messages"]] == ["user", "assistant", "user"]


def test_instructions_alone_are_asked() -> None:
    made = sent({"messages": [{"role": "system", "content": "Say hello."}]})
    assert "system" not in made
    assert made["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]


def test_consecutive_messages_of_a_role_are_one_turn_and_blanks_are_no_block() -> None:
    made = turns(user("a"), user({"type": "text", "text": ""}, {"type": "text", "text": "b"}), user(" \n"))
    assert made == [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]


def test_an_answer_that_was_begun_ends_without_blanks() -> None:
    made = turns(user("a"), {"role": "assistant", "content": "It is \n"})
    assert made[-1]["content"] == [{"type": "text", "text": "It is"}]


def test_pictures_are_data_or_an_address() -> None:
    made = turns(
        user(
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": PNG}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "auto"}},
        )
    )
    assert [block.get("source") for block in made[0]["content"]] == [
        None,
        {"type": "base64", "media_type": "image/png", "data": DATA},
        {"type": "url", "url": "https://example.com/a.png"},
    ]


def test_results_of_tools_are_one_turn_of_the_user_before_what_was_said() -> None:
    second = {**CALL, "id": "call:2"}
    made = turns(
        user("Weather?"),
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, second]},
        user("Hurry."),
        {"role": "tool", "tool_call_id": "toolu_1", "content": "sunny"},
        {
            "role": "tool",
            "tool_call_id": "call:2",
            "content": [{"type": "text", "text": "a map"}, {"type": "image_url", "image_url": {"url": PNG}}],
        },
    )
    assert [block["type"] for block in made[1]["content"]] == ["text", "tool_use", "tool_use"]
    assert made[1]["content"][1] == {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "weather",
        "input": {"city": "Oslo"},
    }
    results = made[2]["content"]
    assert [block["type"] for block in results] == ["tool_result", "tool_result", "text"]
    assert results[0] == {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
    assert results[1]["tool_use_id"] == made[1]["content"][2]["id"] == "call_2", "in the letters that are allowed"
    assert [part["type"] for part in results[1]["content"]] == ["text", "image"]


def test_a_tool_that_failed_says_so_and_one_that_gave_nothing_gives_nothing() -> None:
    made = turns(
        user("Weather?"), CALLING, {"role": "tool", "tool_call_id": "toolu_1", "content": "no net", "is_error": True}
    )
    assert made[2]["content"][0]["is_error"] is True
    made = turns(user("Weather?"), CALLING, {"role": "tool", "tool_call_id": "toolu_1", "content": ""})
    assert made[2]["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1"}]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("", {}),
        ('{"a": [1]}', {"a": [1]}),
        ('{"a":', {"INVALID_JSON": '{"a":'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
    ],
)
def test_arguments_are_an_object(arguments: str, given: Any) -> None:
    call = {**CALL, "function": {"name": "weather", "arguments": arguments}}
    made = turns(user("a"), {"role": "assistant", "tool_calls": [call], "content": None}, user("b"))
    assert made[1]["content"][0]["input"] == given


def test_tools_and_which_of_them_is_to_be_called() -> None:
    bare = {"type": "function", "function": {"name": "now", "strict": True}}
    asked = {"messages": HI, "tools": [TOOL, bare]}
    assert sent(asked)["tools"] == [
        {
            "name": "weather",
            "description": "Tells it.",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
        {
            "name": "now",
            "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
            "strict": True,
        },
    ]
    named = {"type": "function", "function": {"name": "now"}}
    for choice, wanted in (
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        (named, {"type": "tool", "name": "now"}),
    ):
        assert sent({**asked, "tool_choice": choice})["tool_choice"] == wanted
    assert "tool_choice" not in sent(asked)
    single = {**asked, "parallel_tool_calls": False}
    assert sent(single)["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert sent({**single, "tool_choice": "required"})["tool_choice"]["disable_parallel_tool_use"] is True
    assert sent({**single, "tool_choice": "none"})["tool_choice"] == {"type": "none"}
    assert "tool_choice" not in sent({**asked, "parallel_tool_calls": True})


def test_a_model_that_cannot_be_forced_is_asked() -> None:
    made = composed_of({"messages": HI, "tools": [TOOL], "tool_choice": "required"}, upstream="claude-opus-5-5")
    assert made.body["tool_choice"] == {"type": "auto"} and made.ignored == ["tool_choice"]


def test_what_is_to_be_cached_is_marked_where_it_stands() -> None:
    made = sent(
        {
            "messages": [
                {"role": "system", "content": "Long.", **CACHED},
                user({"type": "text", "text": "a", **CACHED}, {"type": "text", "text": "b"}),
                {**CALLING, "tool_calls": [{**CALL, **CACHED}]},
                {"role": "tool", "tool_call_id": "toolu_1", "content": "c", "cache_control": {"type": "ephemeral"}},
            ],
            "tools": [{**TOOL, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            "cache_control": {"type": "ephemeral"},
        }
    )
    marked = [made["tools"][0], made["system"][0], *(block for turn in made["messages"] for block in turn["content"])]
    assert [block.get("cache_control", {}).get("ttl", "cache_control" in block) for block in marked] == [
        "1h",
        True,
        True,
        False,
        True,
        True,
    ]
    assert made["cache_control"] == {"type": "ephemeral"}


def test_a_mark_on_nothing_is_listed() -> None:
    made = composed_of({"messages": [user({"type": "text", "text": " ", **CACHED}, {"type": "text", "text": "a"})]})
    assert made.ignored == ["messages[0].content[0].cache_control"]


def test_fields_that_mean_the_same_have_their_own_names() -> None:
    made = sent({"messages": HI, "stop": "END", "user": "u1", "top_p": 0.5, "top_k": 5, "service_tier": "default"})
    assert {name: made[name] for name in ("stop_sequences", "metadata", "top_p", "top_k", "service_tier")} == {
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u1"},
        "top_p": 0.5,
        "top_k": 5,
        "service_tier": "standard_only",
    }
    assert sent({"messages": HI, "stop": ["A", "B"], "temperature": 1.7, "service_tier": "auto"})["temperature"] == 1
    both = composed_of({"messages": HI, "safety_identifier": "s1", "user": "u1", "temperature": 0.2, "top_p": 0.5})
    assert both.body["metadata"] == {"user_id": "s1"} and both.body["temperature"] == 0.2 and "top_p" not in both.body
    assert both.ignored == ["top_p", "user"]


def test_blanks_end_no_answer() -> None:
    made = composed_of({"messages": HI, "stop": ["END", "\n"]})
    assert made.body["stop_sequences"] == ["END"] and made.ignored == ["stop"]
    assert "stop_sequences" not in sent({"messages": HI, "stop": []})


def test_what_the_protocol_lacks_is_listed() -> None:
    left = {
        "seed": 7,
        "logprobs": True,
        "frequency_penalty": 0.5,
        "logit_bias": {"1": 1},
        "prediction": {"type": "content", "content": "x"},
        "verbosity": "low",
        "response_format": {"type": "json_object"},
        "stream_options": {"include_obfuscation": True},
    }
    made = composed_of({"messages": [{**HI[0], "name": "bob"}], **left})
    assert set(made.body) == {"model", "max_tokens", "messages"}
    assert set(made.ignored) == {*left, "stream_options.include_obfuscation", "messages[0].name"} - {"stream_options"}


def test_a_schema_is_a_format_whose_objects_are_closed() -> None:
    inner = {"a": {"type": "object", "properties": {}}, "b": {"type": ["object", "null"], "properties": {}}}
    schema = {"type": "object", "properties": inner}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    made = sent({"messages": HI, "response_format": form})["output_config"]["format"]
    assert made["type"] == "json_schema" and made["schema"]["additionalProperties"] is False
    assert all(made["schema"]["properties"][name]["additionalProperties"] is False for name in inner)
    assert "output_config" not in sent({"messages": HI, "response_format": {"type": "text"}})


def test_bounds_that_are_not_enforced_become_words() -> None:
    schema = {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer", "minimum": 1, "description": "At least one."},
            "names": {"type": "array", "minItems": 2, "items": {"type": "string", "format": "regex"}},
            "one": {"oneOf": [{"type": "string", "maxLength": 3}, {"enum": [{"maximum": 1}]}]},
        },
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    made = sent({"messages": HI, "response_format": form})["output_config"]["format"]["schema"]
    assert made["properties"] == {
        "minimum": {"type": "integer", "description": 'At least one.\n\n{"minimum":1}'},
        "names": {
            "type": "array",
            "items": {"type": "string", "description": '{"format":"regex"}'},
            "description": '{"minItems":2}',
        },
        "one": {"anyOf": [{"type": "string", "description": '{"maxLength":3}'}, {"enum": [{"maximum": 1}]}]},
    }


def test_the_catalogues_words_count() -> None:
    row = Sending(takes=TAKES, either=("temperature", "top_p"), defaults={"temperature": 0.7})
    assert sent({"messages": HI}, sending=row)["temperature"] == 0.7
    assert "temperature" not in sent({"messages": HI, "top_p": 0.5}, sending=row)
    assert "temperature" not in sent({"messages": HI}, sending=row, upstream="claude-opus-5")
    omitting = row.model_copy(update={"omit": frozenset({"temperature", "stop"})})
    made = composed_of({"messages": HI, "stop": "END"}, sending=omitting)
    assert "temperature" not in made.body and made.ignored == ["stop"]
    assert composed_of({"messages": HI, "top_k": 5}, sending=Sending()).ignored == ["top_k"]


@pytest.mark.parametrize("upstream", ["claude-opus-4-7", "claude-opus-5", "claude-haiku-5-5", "claude-fable-5"])
def test_the_newest_models_are_not_sampled(upstream: str) -> None:
    made = composed_of({"messages": HI, "temperature": 0.5, "top_k": 3}, upstream=upstream)
    assert not {"temperature", "top_k"} & set(made.body) and made.ignored == ["temperature", "top_k"]


HIDDEN = {"type": "adaptive", "display": "omitted"}
#: (model, what is asked for, what is sent of it: thinking, effort)
EFFORTS: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("claude-haiku-4-5", {"reasoning_effort": "low"}, {"type": "enabled", "budget_tokens": 1024}, None),
    ("claude-haiku-4-5", {"reasoning_effort": "medium"}, {"type": "enabled", "budget_tokens": 2048}, None),
    ("claude-haiku-4-5", {"reasoning_effort": "high"}, {"type": "enabled", "budget_tokens": 3276}, None),
    ("claude-haiku-4-5", {"reasoning_effort": "none"}, None, None),
    ("claude-sonnet-4-20250514", {"reasoning": {"max_tokens": 9000}}, {"type": "enabled", "budget_tokens": 4095}, None),
    ("claude-opus-4-6", {"reasoning_effort": "high"}, {"type": "adaptive", "display": "summarized"}, "high"),
    ("claude-opus-5", {"reasoning_effort": "minimal"}, {"type": "adaptive", "display": "summarized"}, "low"),
    ("claude-opus-5", {"reasoning": {"effort": "max"}}, {"type": "adaptive", "display": "summarized"}, "max"),
    ("claude-opus-5", {"reasoning": {"enabled": True}}, {"type": "adaptive", "display": "summarized"}, "medium"),
    (
        "claude-opus-5",
        {"reasoning": {"effort": "low", "exclude": True}},
        {"type": "adaptive", "display": "omitted"},
        "low",
    ),
    ("claude-opus-5", {"reasoning_effort": "none"}, {"type": "disabled"}, None),
    ("claude-sonnet-5-5", {"reasoning_effort": "none"}, {"type": "between_tools"}, None),
    ("claude-opus-5-5", {"reasoning_effort": "none"}, None, "low"),
    ("claude-opus-5", {"thinking": {"type": "adaptive"}}, {"type": "adaptive"}, None),
    ("claude-opus-5", {"thinking": {"type": "adaptive"}, "reasoning_effort": "low"}, {"type": "adaptive"}, "low"),
]


@pytest.mark.parametrize(("upstream", "asked", "thinking", "effort"), EFFORTS)
def test_an_effort_is_what_the_model_takes(upstream: str, asked: Any, thinking: Any, effort: Any) -> None:
    made = sent({"messages": HI, **asked}, upstream=upstream)
    assert made.get("thinking") == thinking
    assert made.get("output_config") == ({"effort": effort} if effort else None)


def test_a_row_says_how_its_model_thinks() -> None:
    row = SENDING.model_copy(update={"rename": {"reasoning_effort": "thinking.budget_tokens"}})
    made = sent({"messages": HI, "reasoning_effort": "high"}, upstream="their-own", sending=row)
    assert made["thinking"] == {"type": "enabled", "budget_tokens": 3276}


@pytest.mark.parametrize(
    ("upstream", "given"),
    [
        ("claude-3-opus-20240229", {"reasoning_effort": "high"}),
        ("claude-haiku-4-5", {"reasoning_effort": "high", "max_tokens": 1024}),
        ("claude-haiku-4-5", {"reasoning_effort": "unheard of"}),
        ("claude-haiku-4-5", {"reasoning_effort": "high", "tools": [TOOL], "tool_choice": "required"}),
        ("claude-haiku-4-5", {"reasoning_effort": "high", "messages": [*HI, CALLING, {**HI[0], "role": "tool"}]}),
    ],
)
def test_where_a_model_cannot_think_the_effort_is_listed(upstream: str, given: Any) -> None:
    if "messages" in given:
        given["messages"][-1]["tool_call_id"] = "toolu_1"
    made = composed_of({"messages": HI, **given}, upstream=upstream)
    assert "thinking" not in made.body and made.ignored == ["reasoning_effort"]


def test_thoughts_rule_out_what_the_provider_refuses_beside_them() -> None:
    made = composed_of({"messages": HI, "reasoning_effort": "high", "temperature": 0.5, "top_k": 4})
    assert "temperature" not in made.body and "top_k" not in made.body
    assert made.ignored == ["temperature", "top_k"]


SIGNED = {"type": "thinking", "thinking": "Hm.", "signature": "EqsB"}
SECRET = {"type": "redacted_thinking", "data": "EmwK"}


def test_signed_thoughts_go_back_as_they_came_before_all_else() -> None:
    said = {**CALLING, "content": "So.", "thinking_blocks": [SIGNED, SECRET], "reasoning_content": "Hm."}
    result = {"role": "tool", "tool_call_id": "toolu_1", "content": "sunny"}
    made = sent({"messages": [*HI, said, result], "reasoning_effort": "low"})
    assert made["messages"][1]["content"][:2] == [SIGNED, SECRET]
    assert [block["type"] for block in made["messages"][1]["content"][2:]] == ["text", "tool_use"]
    assert made["thinking"]["type"] == "enabled", "a tool loop goes on thinking"


def test_thoughts_among_the_parts_of_a_content_keep_their_signature() -> None:
    parts = [SIGNED, SECRET, {"type": "text", "text": "So."}]
    assert turns(*HI, {"role": "assistant", "content": parts}, user("And?"))[1]["content"] == parts


def test_thoughts_that_nobody_signed_cannot_go_back() -> None:
    unsigned = {"role": "assistant", "content": "So.", "reasoning_content": "Hm."}
    made = composed_of({"messages": [*HI, unsigned, user("And?")]})
    assert made.ignored == ["messages[1].reasoning_content"]
    half = {"role": "assistant", "content": "So.", "thinking_blocks": [{"type": "thinking", "thinking": "Hm."}]}
    made = composed_of({"messages": [*HI, half, user("And?")]})
    assert made.ignored == ["messages[1].thinking_blocks"]
    assert made.body["messages"][1]["content"] == [{"type": "text", "text": "So."}]
