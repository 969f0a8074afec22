"""Every field of a request that is wrong is a 400 that names exactly that field."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.errors import InvalidRequest
from shared.submissions.schemas import REQUESTS, image_urls, read_submission, text_bytes
from tests.pictures import data_url, png

CHAT: dict[str, Any] = {"model": "gpt-4", "messages": [{"role": "user", "content": "hello"}]}
EMBED: dict[str, Any] = {"model": "text-embedding-3-large", "input": "hello"}
IMAGE: dict[str, Any] = {"model": "image-gen-2", "prompt": "a cat"}
BODIES = {"chat.completion": CHAT, "embedding": EMBED, "image": IMAGE}
GONE = object()

TOOL = {"type": "function", "function": {"name": "find"}}
CHOICE = {"type": "function", "function": {"name": "find"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}


def user(content: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content, **more}]


def schema(given: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": given}}


def shown(url: str) -> list[dict[str, Any]]:
    return user([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}])


#: (type, the fields that are changed, the `param` of the answer)
BAD: list[tuple[Any, dict[str, Any], str]] = [
    ("chat.completion", {"tools": [{"type": "custom", "custom": {"name": "find"}}]}, "tools[0].type"),
    ("embedding", {"model": GONE}, "model"),
    ("image", {"model": GONE}, "model"),
    ("chat.completion", {"model": ""}, "model"),
    ("chat.completion", {"model": 5}, "model"),
    ("chat.completion", {"model": ["gpt-4"]}, "model"),
    ("embedding", {"model": None}, "model"),
    ("image", {"model": None}, "model"),
    ("embedding", {"model": {}}, "model"),
    ("chat.completion", {"model": {"llms": "gpt-4"}}, "model.llms"),
    ("chat.completion", {"messages": GONE}, "messages"),
    ("chat.completion", {"messages": None}, "messages"),
    ("chat.completion", {"messages": []}, "messages"),
    ("chat.completion", {"messages": "hello"}, "messages"),
    ("chat.completion", {"messages": {"0": CHAT["messages"][0]}}, "messages"),
    ("chat.completion", {"messages": CHAT["messages"] * 5001}, "messages"),
    ("chat.completion", {"messages": ["hello"]}, "messages[0]"),
    ("chat.completion", {"messages": [None]}, "messages[0]"),
    ("chat.completion", {"messages": [*CHAT["messages"], {"role": "user"}]}, "messages[1]"),
    ("chat.completion", {"messages": [{"content": "a"}]}, "messages[0].role"),
    ("chat.completion", {"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
    ("chat.completion", {"messages": user(5)}, "messages[0].content"),
    ("chat.completion", {"messages": user(None)}, "messages[0]"),
    ("chat.completion", {"messages": user({"type": "text", "text": "a"})}, "messages[0].content"),
    ("chat.completion", {"messages": user(["a"])}, "messages[0].content[0]"),
    ("chat.completion", {"messages": user([])}, "messages[0].content"),
    ("chat.completion", {"messages": user([{"type": "video"}])}, "messages[0].content[0]"),
    ("chat.completion", {"messages": user([{"type": "text"}])}, "messages[0].content[0].text"),
    ("chat.completion", {"messages": user([{"type": "text", "text": 7}])}, "messages[0].content[0].text"),
    (
        "chat.completion",
        {"messages": user([{"type": "text", "text": "a"}, {"type": "text", "text": "b", "bold": 1}])},
        "messages[0].content[1].bold",
    ),
    ("chat.completion", {"messages": user([{"type": "image_url"}])}, "messages[0].content[0].image_url"),
    (
        "chat.completion",
        {"messages": user([{"type": "image_url", "image_url": {"url": ""}}])},
        "messages[0].content[0].image_url.url",
    ),
    (
        "chat.completion",
        {"messages": user([{"type": "image_url", "image_url": {"url": "https://a.example/b", "detail": "most"}}])},
        "messages[0].content[0].image_url.detail",
    ),
    ("chat.completion", {"messages": user("a", mood="good")}, "messages[0].mood"),
    ("chat.completion", {"messages": user("a", name=5)}, "messages[0].name"),
    ("chat.completion", {"messages": user("a", name="n" * 257)}, "messages[0].name"),
    ("chat.completion", {"messages": user("a", tool_calls=[CALL])}, "messages[0]"),
    ("chat.completion", {"messages": user("a", cache_control="ephemeral")}, "messages[0].cache_control"),
    ("chat.completion", {"messages": user("a", reasoning_content=["a"])}, "messages[0].reasoning_content"),
    ("chat.completion", {"messages": user("a", function_call={"name": "f"})}, "messages[0].function_call"),
    ("chat.completion", {"cache_control": "a"}, "cache_control"),
    ("chat.completion", {"tools": [{**TOOL, "cache_control": 5}]}, "tools[0].cache_control"),
    ("chat.completion", {"logit_bias": {"5": 101}}, "logit_bias"),
    ("chat.completion", {"logit_bias": {"5": "1"}}, "logit_bias"),
    ("chat.completion", {"prediction": {"type": "content"}}, "prediction.content"),
    ("chat.completion", {"modalities": ["text", "audio"]}, "modalities[1]"),
    ("chat.completion", {"reasoning_effort": 5}, "reasoning_effort"),
    ("chat.completion", {"extras": {}}, "extras"),
    ("image", {"unasked": []}, "unasked"),
    ("image", {"output_format": "svg"}, "output_format"),
    (
        "chat.completion",
        {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "id": ""}]}]},
        "messages[0].tool_calls[0].id",
    ),
    (
        "chat.completion",
        {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f"}}]}]},
        "messages[0].tool_calls[0].function.arguments",
    ),
    ("chat.completion", {"messages": [{"role": "assistant"}]}, "messages[0]"),
    ("chat.completion", {"messages": [{"role": "tool", "content": "42"}]}, "messages[0]"),
    ("chat.completion", {"temperature": -0.1}, "temperature"),
    ("chat.completion", {"temperature": 2.1}, "temperature"),
    ("chat.completion", {"temperature": "0.7"}, "temperature"),
    ("chat.completion", {"temperature": True}, "temperature"),
    ("chat.completion", {"top_p": 1.01}, "top_p"),
    ("chat.completion", {"max_tokens": 0}, "max_tokens"),
    ("chat.completion", {"max_tokens": -1}, "max_tokens"),
    ("chat.completion", {"max_tokens": 1.5}, "max_tokens"),
    ("chat.completion", {"max_tokens": "10"}, "max_tokens"),
    ("chat.completion", {"max_completion_tokens": 0}, "max_completion_tokens"),
    ("chat.completion", {"n": 0}, "n"),
    ("chat.completion", {"n": 129}, "n"),
    ("chat.completion", {"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ("chat.completion", {"stop": 5}, "stop"),
    ("chat.completion", {"stop": ["a", 5]}, "stop[1]"),
    ("chat.completion", {"presence_penalty": 2.5}, "presence_penalty"),
    ("chat.completion", {"frequency_penalty": -2.5}, "frequency_penalty"),
    ("chat.completion", {"repetition_penalty": 0}, "repetition_penalty"),
    ("chat.completion", {"seed": 1.5}, "seed"),
    ("chat.completion", {"logprobs": 1}, "logprobs"),
    ("chat.completion", {"top_logprobs": 21}, "top_logprobs"),
    ("chat.completion", {"tools": []}, "tools"),
    ("chat.completion", {"tools": [TOOL] * 129}, "tools"),
    ("chat.completion", {"tools": [{"type": "function"}]}, "tools[0].function"),
    ("chat.completion", {"tools": [{**TOOL, "type": "robot"}]}, "tools[0].type"),
    (
        "chat.completion",
        {"tools": [TOOL, {"type": "function", "function": {"name": "no spaces"}}]},
        "tools[1].function.name",
    ),
    (
        "chat.completion",
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
        "tools[0].function.parameters",
    ),
    ("chat.completion", {"top_logprobs": 2}, "top_logprobs"),
    ("chat.completion", {"logprobs": False, "top_logprobs": 2}, "top_logprobs"),
    ("chat.completion", {"logprobs": "yes", "top_logprobs": 2}, "logprobs"),
    ("chat.completion", {"tool_choice": "sometimes"}, "tool_choice"),
    ("chat.completion", {"tool_choice": "auto"}, "tool_choice"),
    ("chat.completion", {"parallel_tool_calls": True}, "parallel_tool_calls"),
    ("chat.completion", {"tools": [TOOL], "tool_choice": 5}, "tool_choice"),
    ("chat.completion", {"tools": [TOOL], "tool_choice": {}}, "tool_choice.function"),
    ("chat.completion", {"tools": [TOOL], "tool_choice": {**CHOICE, "type": "custom"}}, "tool_choice.type"),
    ("chat.completion", {"tools": [TOOL], "tool_choice": {**CHOICE, "mode": "auto"}}, "tool_choice.mode"),
    ("chat.completion", {"tools": [TOOL], "tool_choice": {"type": "function", "name": "find"}}, "tool_choice.function"),
    (
        "chat.completion",
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": 5}}},
        "tool_choice.function.name",
    ),
    (
        "chat.completion",
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "lose"}}},
        "tool_choice",
    ),
    ("chat.completion", {"response_format": {"type": "xml"}}, "response_format.type"),
    ("chat.completion", {"response_format": "json"}, "response_format"),
    ("chat.completion", {"response_format": {"type": "json_schema"}}, "response_format"),
    ("chat.completion", schema({"name": "a"}), "response_format.json_schema.schema"),
    ("chat.completion", schema({"schema": {}}), "response_format.json_schema.name"),
    ("chat.completion", schema({"name": "a b", "schema": {}}), "response_format.json_schema.name"),
    ("chat.completion", schema({"name": "a", "schema": True}), "response_format.json_schema.schema"),
    ("chat.completion", schema({"name": "a", "schema": {}, "extra": 1}), "response_format.json_schema.extra"),
    ("chat.completion", {"user": "u" * 513}, "user"),
    ("chat.completion", {"stream": "yes"}, "stream"),
    ("chat.completion", {"stream_options": {"usage": True}}, "stream_options.usage"),
    ("chat.completion", {"functions": []}, "functions"),
    ("chat.completion", {"top-k": 5}, "top-k"),
    ("chat.completion", {"top k": 5}, "top k"),
    ("chat.completion", {"str": 5}, "str"),
    ("chat.completion", {"": 5}, ""),
    ("chat.completion", {"prompt": "a"}, "prompt"),
    ("chat.completion", {"routing": "cheap"}, "routing"),
    ("chat.completion", {"routing": []}, "routing"),
    ("chat.completion", {"routing": False}, "routing"),
    ("chat.completion", {"routing": {"budget": "free"}}, "routing.budget"),
    ("chat.completion", {"routing": {"fallbacks": "gpt-4"}}, "routing.fallbacks"),
    ("chat.completion", {"routing": {"fallbacks": ["a", 5]}}, "routing.fallbacks[1]"),
    ("chat.completion", {"routing": {"fallbacks": ["a", "b", "c", "d"]}}, "routing.fallbacks"),
    ("chat.completion", {"routing": {"speed": 1}}, "routing.speed"),
    ("chat.completion", {"metadata": []}, "metadata"),
    ("chat.completion", {"metadata": "a"}, "metadata"),
    ("chat.completion", {"metadata": {"a": 5}}, "metadata"),
    ("chat.completion", {"metadata": {"a": None}}, "metadata"),
    ("chat.completion", {"metadata": {"a": "v" * 513}}, "metadata"),
    ("chat.completion", {"metadata": {"k" * 65: "v"}}, "metadata"),
    ("chat.completion", {"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
    ("embedding", {"input": GONE}, "input"),
    ("embedding", {"input": ""}, "input"),
    ("embedding", {"input": []}, "input"),
    ("embedding", {"input": None}, "input"),
    ("embedding", {"input": 5}, "input"),
    ("embedding", {"input": {"text": "a"}}, "input"),
    ("embedding", {"input": ["a", ""]}, "input[1]"),
    ("embedding", {"input": [[]]}, "input[0]"),
    ("embedding", {"input": [[1], [2.5]]}, "input[1][0]"),
    ("embedding", {"input": [[["a"]]]}, "input[0][0]"),
    ("embedding", {"input": ["a"] * 2049}, "input"),
    ("embedding", {"encoding_format": "hex"}, "encoding_format"),
    ("embedding", {"dimensions": 0}, "dimensions"),
    ("embedding", {"dimensions": 8193}, "dimensions"),
    ("embedding", {"messages": CHAT["messages"]}, "messages"),
    ("image", {"prompt": GONE}, "prompt"),
    ("image", {"prompt": ""}, "prompt"),
    ("image", {"prompt": "p" * 32_001}, "prompt"),
    ("image", {"prompt": ["a"]}, "prompt"),
    ("image", {"size": "big"}, "size"),
    ("image", {"size": "automatic"}, "size"),
    ("image", {"stream": True}, "stream"),
    ("embedding", {"input": [-1]}, "input[0]"),
    ("embedding", {"input": [[1], [2, -1]]}, "input[1][1]"),
    ("image", {"size": "1024x1024\n"}, "size"),
    ("image", {"size": 1024}, "size"),
    ("image", {"n": 11}, "n"),
    ("image", {"n": 0}, "n"),
    ("image", {"response_format": "png"}, "response_format"),
    ("image", {"quality": 5}, "quality"),
    ("image", {"colour": None}, "colour"),
]


def changed(type: Any, changes: dict[str, Any]) -> dict[str, Any]:
    body = copy.deepcopy(BODIES[type]) | changes
    return {name: value for name, value in body.items() if value is not GONE}


@pytest.mark.parametrize(("type", "changes", "param"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_a_bad_field_is_named_exactly(type: Any, changes: dict[str, Any], param: str) -> None:
    for at in ("", "jobs[3]."):
        with pytest.raises(InvalidRequest) as refused:
            read_submission(type, changed(type, changes), at=at)
        assert (refused.value.param or "") == (at + param).rstrip(".")
        assert len(refused.value.message) < 1000


def test_a_huge_unknown_name_is_not_repeated_back() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_submission("chat.completion", {**CHAT, "x" * 1_000_000: 1})
    assert len(refused.value.message) < 1000 and len(refused.value.param or "") < 500


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "file"}, "type 'file' is not supported; supported: text, image_url, refusal"),
        ({"type": "x" * 5000}, f"type '{'x' * 100}' is not supported; supported: text, image_url, refusal"),
        ({}, "type is missing"),
        ("hello", "must be an object"),
    ],
)
def test_a_part_of_another_type_says_which_there_are(part: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_submission("chat.completion", {**CHAT, "messages": user([part])})
    assert refused.value.message == f"messages[0].content[0]: {words}"


def test_a_prompt_never_comes_back_in_the_refusal() -> None:
    canary = "canary-prompt-93"
    for body in (
        {"model": "gpt-4", "messages": canary},
        {"model": "gpt-4", "messages": user([{"type": "text", "text": [canary]}])},
        {"model": "gpt-4", "messages": [{"role": "user", "content": [canary]}]},
    ):
        with pytest.raises(InvalidRequest) as refused:
            read_submission("chat.completion", body)
        assert canary not in refused.value.message


GOOD: list[tuple[Any, dict[str, Any]]] = [
    ("chat.completion", {"temperature": 0}),
    ("chat.completion", {"temperature": 2}),
    ("chat.completion", {"stop": ["a", "b", "c", "d"], "seed": -5}),
    ("chat.completion", {"messages": [{"role": "assistant", "tool_calls": [CALL]}]}),
    ("chat.completion", {"messages": [{"role": "tool", "content": "1", "tool_call_id": "c1"}]}),
    ("chat.completion", {"messages": user([{"type": "text", "text": "a"}], name="ann")}),
    ("chat.completion", {"tools": [TOOL], "tool_choice": CHOICE, "parallel_tool_calls": False}),
    ("chat.completion", {"tools": [TOOL], "tool_choice": "none"}),
    ("chat.completion", {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"default": None}}}]}),
    ("chat.completion", schema({"name": "a", "schema": {"enum": ["a", None], "default": None}, "strict": True})),
    ("chat.completion", {"logprobs": True, "top_logprobs": 0, "n": 128}),
    ("chat.completion", {"messages": shown("https://pictures.example/a.png?x=%20&y=1#z")}),
    ("chat.completion", {"messages": shown(data_url(png()))}),
    ("chat.completion", {"messages": [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}]}),
    ("chat.completion", {"metadata": {"k" * 64: "v" * 512}}),
    ("chat.completion", {"metadata": {str(n): "v" for n in range(16)}}),
    ("chat.completion", {"logit_bias": {"50256": -100, "5": 0.5}, "reasoning_effort": "low", "verbosity": "high"}),
    ("chat.completion", {"temperature": 0, "top_p": 0, "seed": 0, "presence_penalty": 0, "logprobs": False}),
    ("chat.completion", {"prediction": {"type": "content", "content": [{"type": "text", "text": "a"}]}}),
    ("chat.completion", {"metadata": None, "routing": None, "max_tokens": None, "temperature": None, "n": None}),
    ("embedding", {"input": [1, 2, 3]}),
    ("embedding", {"input": [[1], [2, 3]], "encoding_format": "base64"}),
    ("embedding", {"input": ["a", "b"], "dimensions": 8}),
    ("image", {"size": "1536x1024", "n": 10, "response_format": "b64_json"}),
]


@pytest.mark.parametrize(("type", "changes"), GOOD)
def test_what_the_documents_allow_is_kept_as_it_was_sent(type: Any, changes: dict[str, Any]) -> None:
    submission = read_submission(type, changed(type, changes))
    for name, value in changes.items():
        if name not in ("metadata", "routing") and value is not None:
            kept = submission.request[name]
            assert kept == value or [{k: v for k, v in m.items() if v is not None} for m in kept] == value
    assert submission.labels == changes.get("metadata")


def test_defaults_are_the_contracts() -> None:
    """A chat has none: what nobody asked for is not sent. A picture's price depends on its size and number."""
    assert read_submission("chat.completion", CHAT).request == {"messages": CHAT["messages"]}
    assert read_submission("image", IMAGE).request == {
        "prompt": "a cat",
        "size": "1024x1024",
        "n": 1,
        "response_format": "url",
        "unasked": ["n", "response_format"],
    }
    assert read_submission("embedding", EMBED).request == {"input": "hello"}


def test_max_completion_tokens_is_max_tokens() -> None:
    request = read_submission("chat.completion", {**CHAT, "max_completion_tokens": 9}).request
    assert request["max_tokens"] == 9 and "max_completion_tokens" not in request


def test_an_answer_sent_back_as_a_turn_is_taken_without_what_a_request_has_no_use_for() -> None:
    """What `message.model_dump()` of the official SDK gives."""
    answer = {"role": "assistant", "content": "hi", "refusal": None, "annotations": [], "audio": None}
    turns = [*CHAT["messages"], {**answer, "function_call": None, "tool_calls": None}]
    request = read_submission("chat.completion", {**CHAT, "messages": turns}).request
    assert request["messages"][1] == {"role": "assistant", "content": "hi"}


def test_what_the_sdks_parse_and_stream_add_to_an_answer_is_taken_and_not_kept() -> None:
    call = {**CALL, "index": 0, "function": {**CALL["function"], "parsed_arguments": {"a": 1}}}
    answer = {"role": "assistant", "content": None, "parsed": {"a": 1}, "tool_calls": [call]}
    request = read_submission("chat.completion", {**CHAT, "messages": [*CHAT["messages"], answer]}).request
    assert request["messages"][1] == {"role": "assistant", "tool_calls": [CALL]}


def test_an_image_of_any_size_is_one_of_the_usual_size_whose_price_is_known() -> None:
    request = read_submission("image", {**IMAGE, "size": "auto", "stream": False}).request
    assert request["size"] == "1024x1024" and "stream" not in request


@pytest.mark.parametrize(
    ("type", "field", "value"),
    [("embedding", "input", [[1]] * 100_000), ("embedding", "input", [1.5] * 100_000),
     ("embedding", "input", [[1.5] * 100_000]),
     ("chat.completion", "messages", user([5] * 100_000)), ("chat.completion", "messages", [5] * 5000),
     ("chat.completion", "stop", [5] * 100_000), ("chat.completion", "tools", [5] * 100_000)],
)  # fmt: skip
def test_a_long_list_of_wrong_values_is_one_fault(type: Any, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as wrong:
        REQUESTS[type].model_validate({**BODIES[type], field: value})
    assert wrong.value.error_count() < 10


@given(text=st.text(st.characters(codec="utf-8")), size=st.integers(1, 100))
def test_text_bytes_covers_the_text_and_leaves_image_data_out(text: str, size: int) -> None:
    url = data_url(png(size, size))
    content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    submission = read_submission("chat.completion", {**CHAT, "messages": user(content)})
    assert (pictures := image_urls(submission.request)) == [url]
    without = text_bytes(read_submission("chat.completion", {**CHAT, "messages": user(content[:1])}), ())
    assert len(text.encode()) <= without <= text_bytes(submission, pictures) <= without + 80
