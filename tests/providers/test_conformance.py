"""What every adapter does with an answer, whatever its provider's protocol: one suite, run against the simulator.

The adapters are those of zoo_cells.PROTOCOLS. What one of them cannot do is in CANNOT, with the reason, and then it is
tested that it says so.
"""

import asyncio
import csv
import io
from collections.abc import Iterator
from typing import Any, Final

import httpx
import orjson
import pytest

from shared.errors import ProviderError
from tests.pictures import data_url, png
from tests.providers.heard import Heard
from tests.providers.zoo_cells import PROTOCOLS, Caller, Spoken, call_of, offer_of
from workers.providers import ProviderAnswer
from workers.simulator.server import simulator
from workers.upstream.faults import classify

#: What a protocol has no place for, and how its adapter says so: a refusal, or a name in the answer's `ignored`.
CANNOT: Final = {
    ("anthropic", "embedding"): "Anthropic has no embeddings (docs, build-with-claude/embeddings): refused as missing",
    ("anthropic", "image"): "Anthropic's models draw nothing: refused as missing",
    ("anthropic", "n"): "a message is one answer: the first alone is given, and `n` is listed as ignored",
    ("anthropic", "seed"): "the Messages API has no seed: listed as ignored",
}

PARAMETERS: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Final = [
    {"type": "function", "function": {"name": name, "description": "Looks.", "parameters": PARAMETERS}}
    for name in ("get_weather", "get_time")
]
HELLO: Final = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there, how are you?"}]
UNICODE: Final = "Grüße, 你好, 👩‍👩‍👧, \u202eabc\u202c, e\u0301"


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    with simulator() as url:
        made = Caller(url)
        yield made
        made.close()


@pytest.fixture(params=list(PROTOCOLS))
def spoken(request: pytest.FixtureRequest, caller: Caller) -> Iterator[Spoken]:
    yield PROTOCOLS[request.param]
    caller.script()


def order(caller: Caller, spoken: Spoken, **fault: Any) -> None:
    caller.script({"provider": spoken.name, "fault": fault})


def good(
    caller: Caller, spoken: Spoken, body: dict[str, Any], sink: Heard | None = None, **more: Any
) -> ProviderAnswer:
    made = caller.try_call(spoken, call_of(spoken, body, sink=sink, **more))
    assert isinstance(made, ProviderAnswer), repr(made)
    return made


def both(caller: Caller, spoken: Spoken, body: dict[str, Any]) -> ProviderAnswer:
    """The answer, which is the same whole, streamed, and put together of what was sent on."""
    sink = Heard()
    whole, streamed = good(caller, spoken, body), good(caller, spoken, body, sink)
    assert _plain(streamed.body["choices"]) == _plain(whole.body["choices"])
    assert (streamed.usage, streamed.ignored) == (whole.usage, whole.ignored)
    assert all(head == {name: streamed.body[name] for name in ("id", "created", "model")} for head in sink.heads)
    # Of what has nothing to show before its end nothing is sent: its worker sends the whole.
    for read, given in zip(sink.sent.choices(), streamed.body["choices"] if sink.began else (), strict=True):
        assert read["finish_reason"] == given["finish_reason"]
        for name in ("content", "reasoning_content", "tool_calls", "refusal"):
            assert (read["message"].get(name) or None) == (given["message"].get(name) or None), name
    return whole


def _plain(choices: Any) -> Any:
    return orjson.loads(orjson.dumps(choices))


def test_a_text(caller: Caller, spoken: Spoken) -> None:
    made = both(caller, spoken, {"messages": HELLO})
    (choice,) = made.body["choices"]
    assert choice["message"]["role"] == "assistant" and choice["message"]["content"] and choice["index"] == 0
    assert choice["finish_reason"] == "stop" and made.ignored == []
    assert (made.body["id"], made.body["object"], made.body["model"]) == ("chatcmpl-1", "chat.completion", spoken.model)
    assert isinstance(made.body["created"], int) and made.status_code == 200
    assert made.usage.prompt_tokens > 0 and made.usage.completion_tokens > 0 and not made.usage.estimated


def test_what_the_provider_calls_the_call_by(caller: Caller, spoken: Spoken) -> None:
    """Whole, streamed, and of an answer that is none: as its export of usage names it; Google's names none."""
    good(caller, spoken, {"messages": HELLO})
    answers = [good(caller, spoken, {"messages": HELLO}, sink) for sink in (None, Heard())]
    order(caller, spoken, kind="malformed_json")
    spoilt = caller.try_call(spoken, call_of(spoken, {"messages": HELLO}))
    assert isinstance(spoilt, ProviderError)
    told = [id for made in (*answers, spoilt) for id in made.request_ids]
    text = httpx.get(f"{caller.url}/_simulator/usage", params={"provider": spoken.name}).text
    billed = [row["request_id"] for row in csv.DictReader(io.StringIO(text))]
    assert told == ([] if spoken.name == "google" else billed[-3:])


@pytest.mark.parametrize("id", ["simulated", "req-simulated-1", "a b", "x" * 200, ""])
def test_what_cannot_be_an_id_is_not_kept(caller: Caller, id: str) -> None:
    spoken = PROTOCOLS["openai"]
    order(caller, spoken, headers={"x-request-id": id}, kind="answer", body="{}")
    made = caller.try_call(spoken, call_of(spoken, {"messages": HELLO}))
    caller.script()
    assert list(made.request_ids) == [], "it repeats our key, or is none"
    order(caller, spoken, headers={"x-request-id": "req_7"}, kind="answer", body="{}")
    assert list(caller.try_call(spoken, call_of(spoken, {"messages": HELLO})).request_ids) == ["req_7"]
    caller.script()


def test_text_of_any_language(caller: Caller, spoken: Spoken) -> None:
    made = both(caller, spoken, {"messages": [{"role": "user", "content": UNICODE}]})
    assert UNICODE in made.body["choices"][0]["message"]["content"]


@pytest.mark.parametrize("asked", [["get_weather"], ["get_time"]])
def test_a_tool(caller: Caller, spoken: Spoken, asked: list[str]) -> None:
    messages = [{"role": "user", "content": f"Please use {asked[0]}"}]
    (choice,) = both(caller, spoken, {"messages": messages, "tools": TOOLS}).body["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls" and call["type"] == "function" and call["id"]
    assert call["function"]["name"] == asked[0]
    assert orjson.loads(call["function"]["arguments"]).keys() == {"city"}


@pytest.mark.parametrize("choice", ["required", "none", {"type": "function", "function": {"name": "get_time"}}])
def test_a_choice_of_tools(caller: Caller, spoken: Spoken, choice: Any) -> None:
    made = both(caller, spoken, {"messages": HELLO, "tools": TOOLS, "tool_choice": choice})
    calls = made.body["choices"][0]["message"].get("tool_calls") or []
    named = [call["function"]["name"] for call in calls]
    assert named == {"required": ["get_weather"], "none": []}.get(
        choice if isinstance(choice, str) else "", ["get_time"]
    )


def test_the_results_of_several_tools_go_back(caller: Caller, spoken: Spoken) -> None:
    order(caller, spoken, kind="no_ids")
    asked = [{"role": "user", "content": "use get_weather"}]
    message = good(caller, spoken, {"messages": asked, "tools": TOOLS}).body["choices"][0]["message"]
    calls = message["tool_calls"]
    assert len({call["id"] for call in calls}) == len(calls) >= 1 and all(call["id"] for call in calls)
    caller.script()
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "22 degrees"} for call in calls]
    made = both(caller, spoken, {"messages": [*asked, message, *results], "tools": TOOLS})
    assert made.body["choices"][0]["finish_reason"] == "stop" and made.ignored == []


def test_calls_that_another_provider_made_go_back(caller: Caller, spoken: Spoken) -> None:
    calls = [
        {"id": f"theirs_{number}", "type": "function", "function": {"name": name, "arguments": '{"city":"Paris"}'}}
        for number, name in enumerate(("get_weather", "get_time"))
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "22"} for call in calls]
    turn = {"role": "assistant", "content": None, "tool_calls": calls}
    made = both(caller, spoken, {"messages": [*HELLO, turn, *results], "tools": TOOLS, "parallel_tool_calls": True})
    assert made.body["choices"][0]["finish_reason"] == "stop"


def test_a_picture(caller: Caller, spoken: Spoken) -> None:
    picture = {"type": "image_url", "image_url": {"url": data_url(png())}}
    with_it, without = (
        both(caller, spoken, {"messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, *more]}]})
        for more in ([picture], [])
    )
    assert with_it.usage.prompt_tokens > without.usage.prompt_tokens and with_it.ignored == []


def test_an_answer_in_a_schema(caller: Caller, spoken: Spoken) -> None:
    schema = {**PARAMETERS, "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": schema}}
    made = both(caller, spoken, {"messages": HELLO, "response_format": form})
    found = orjson.loads(made.body["choices"][0]["message"]["content"])
    assert found.keys() == {"city"} and isinstance(found["city"], str)


def test_an_answer_that_is_cut(caller: Caller, spoken: Spoken) -> None:
    made = both(caller, spoken, {"messages": HELLO, "max_tokens": 3})
    assert made.body["choices"][0]["finish_reason"] == "length" and made.usage.completion_tokens <= 3


def test_what_the_provider_declines(caller: Caller, spoken: Spoken) -> None:
    order(caller, spoken, kind="refusal")
    choice = both(caller, spoken, {"messages": HELLO}).body["choices"][0]
    assert choice["message"].get("refusal") or choice["finish_reason"] == "content_filter"


def test_thoughts(caller: Caller, spoken: Spoken) -> None:
    if spoken.name == "openai":  # the simulators of the others think when they are asked to
        order(caller, spoken, kind="reasoning")
    made = both(caller, spoken, {"messages": HELLO, "max_tokens": 4000, "reasoning_effort": "low"})
    assert made.body["choices"][0]["message"]["reasoning_content"]
    assert 0 < (made.usage.reasoning_tokens or 1) < made.usage.completion_tokens


def test_tokens_of_the_cache_are_a_part_of_the_prompt(caller: Caller, spoken: Spoken) -> None:
    if spoken.name != "anthropic":  # whose simulator has a cache of its own
        order(caller, spoken, kind="cached_usage")
    text = {"type": "text", "text": "word " * 5000, "cache_control": {"type": "ephemeral"}}
    body = {"messages": [{"role": "user", "content": [text]}]}
    first, second = (good(caller, spoken, body).usage for _ in range(2))
    assert 0 < (second.cached_tokens or 0) <= second.prompt_tokens == first.prompt_tokens


def test_several_answers(caller: Caller, spoken: Spoken) -> None:
    made = good(caller, spoken, {"messages": HELLO, "n": 3})
    cannot = (spoken.name, "n") in CANNOT
    assert [choice["index"] for choice in made.body["choices"]] == ([0] if cannot else [0, 1, 2])
    assert ("n" in made.ignored) is cannot


def test_what_is_not_passed_on_is_listed(caller: Caller, spoken: Spoken) -> None:
    made = both(caller, spoken, {"messages": HELLO, "seed": 7, "user": "u"})
    assert ("seed" in made.ignored) is ((spoken.name, "seed") in CANNOT)


@pytest.mark.parametrize(
    ("type", "body"),
    [("embedding", {"input": ["one", "two"]}), ("image", {"prompt": "a cat", "size": "1024x1024", "n": 2})],
)
def test_what_is_no_chat(caller: Caller, spoken: Spoken, type: str, body: dict[str, Any]) -> None:
    upstream = {"openai": "gpt-image-1", "google": "gemini-2.5-flash-image"}.get(spoken.name, spoken.upstream)
    offer = offer_of(spoken, images={"1024x1024": 1}, upstream=upstream if type == "image" else "text-embedding-x")
    made = caller.try_call(spoken, call_of(spoken, body, type=type, offer=offer))
    if (spoken.name, type) in CANNOT:
        assert isinstance(made, ProviderError) and classify(made) == "missing" and not made.head
        return
    assert isinstance(made, ProviderAnswer), repr(made)
    assert [one.keys() & {"embedding", "b64_json", "url"} != set() for one in made.body["data"]] == [True, True]
    assert made.usage.images == 2 if type == "image" else made.usage.prompt_tokens > 0


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_call_that_is_cancelled_is_that_and_no_fault(caller: Caller, spoken: Spoken, streamed: bool) -> None:
    order(caller, spoken, kind="hang")
    call = call_of(spoken, {"messages": HELLO}, sink=Heard() if streamed else None)

    async def main() -> None:
        task = asyncio.create_task(caller.upstream(spoken).call(call))
        await asyncio.sleep(0.05)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        caller.run(main())
