"""What a chat request may ask for, by the official SDK; and what of it reaches the provider, and nothing else."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.acceptance.stack import Account, Stack
from tests.pictures import data_url, gif, jpeg, png, webp

ASKED: list[Any] = [{"role": "user", "content": "Say this is a test."}]
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}


@pytest.fixture
def client(account: Account) -> Iterator[OpenAI]:
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key) as made:
        yield made


@pytest.fixture
def recording(account: Account) -> Iterator[Stack]:
    """The stack, while the simulator keeps what it is sent."""
    with account.stack.script():
        yield account.stack


def received(stack: Stack, *texts: str) -> None:
    """Every one of these texts stood in a request that a provider got."""
    for text in texts:
        assert calls(stack, text) > 0, text


def calls(stack: Stack, text: str) -> int:
    answer = httpx.get(stack.simulator + "/_simulator/calls", params={"contains": text}).json()
    return int(answer["count"])


def ask(client: OpenAI, **changes: Any) -> Any:
    given = {"model": "gpt-4", "messages": ASKED, "max_tokens": 60, **changes}
    return client.chat.completions.create(**given)


class TestTools:
    """Tools, the four ways to choose one, and the loop that answers them."""

    @pytest.mark.parametrize(
        ("choice", "called"),
        [("none", None), ("auto", None), ("required", "get_weather"),
         ({"type": "function", "function": {"name": "get_time"}}, "get_time")],
    )  # fmt: skip
    def test_tool_choice(self, client: OpenAI, recording: Stack, choice: Any, called: str | None) -> None:
        answer = ask(client, tools=[WEATHER, CLOCK], tool_choice=choice, parallel_tool_calls=False)
        calls = answer.choices[0].message.tool_calls
        assert [call.function.name for call in calls or []] == ([called] if called else [])
        assert answer.choices[0].finish_reason == ("tool_calls" if called else "stop")
        sent = json.dumps(choice, separators=(",", ":"))
        received(recording, f'"tool_choice":{sent}', '"parallel_tool_calls":false', '"description":"The weather of')

    def test_the_loop_with_parallel_calls(self, client: OpenAI, recording: Stack) -> None:
        """Two calls in one turn, both answered, in the SDK's own objects."""
        messages: list[Any] = [{"role": "user", "content": "get_weather and get_time, please"}]
        first = ask(client, messages=messages, tools=[WEATHER, CLOCK]).choices[0].message
        (call,) = first.tool_calls
        assert "city" in json.loads(call.function.arguments)
        both = [call.model_dump(), {**call.model_dump(), "id": "call_other"}]
        messages.append({**first.model_dump(), "tool_calls": both})
        messages += [{"role": "tool", "tool_call_id": one["id"], "content": '{"celsius":21}'} for one in both]
        last = ask(client, messages=messages, tools=[WEATHER, CLOCK])
        assert last.choices[0].finish_reason == "stop" and last.choices[0].message.content
        received(recording, '"tool_call_id":"call_other"', f'"tool_call_id":"{call.id}"', '\\"celsius\\":21')
        assert calls(recording, '"function_call"') == calls(recording, '"annotations"') == 0

    @pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the SDK's own, of its own types
    def test_an_answer_that_the_sdk_has_parsed_is_sent_back_as_it_is(self, client: OpenAI, recording: Stack) -> None:
        """`parse` and `stream` add `parsed`, `parsed_arguments` and `index` to what they hand out."""

        class Weather(BaseModel):
            city: str

        tools: Any = [openai.pydantic_function_tool(Weather)]
        given: dict[str, Any] = {"model": "gpt-4", "max_tokens": 60}
        asked: list[Any] = [{"role": "user", "content": "Weather, please"}]
        parsed = client.chat.completions.parse(**given, messages=asked, tools=tools).choices[0].message
        with client.chat.completions.stream(**given, messages=asked, tools=tools) as events:
            streamed = events.get_final_completion().choices[0].message
        for message in (parsed, streamed):
            answered = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
            for turn in (message, message.model_dump(), message.to_dict()):
                last = ask(client, messages=[*asked, turn, answered], tools=tools)
                assert last.choices[0].finish_reason == "stop"
        answer = client.chat.completions.parse(**given, messages=ASKED, response_format=Weather).choices[0].message
        assert answer.parsed and ask(client, messages=[*ASKED, answer, *ASKED]).choices[0].message.content
        assert calls(recording, '"parsed') == 0

    @pytest.mark.parametrize(
        ("changes", "param"),
        [({"tool_choice": "auto"}, "tool_choice"), ({"parallel_tool_calls": True}, "parallel_tool_calls"),
         ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
         ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
         ({"messages": [{"role": "tool", "content": "1"}]}, "messages[0]")],
    )  # fmt: skip
    def test_what_makes_no_sense(self, client: OpenAI, changes: dict[str, Any], param: str) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, **changes)
        assert refused.value.param == param and refused.value.type == "invalid_request"


def shown(*urls: str) -> list[Any]:
    parts = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in urls]
    return [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}]


class TestPictures:
    """Pictures in a message: addresses go on as they are, data is checked, both are held for."""

    def test_an_address_goes_on_and_is_not_fetched(self, client: OpenAI, recording: Stack) -> None:
        url = "https://pictures.example/cat.png?size=%20big"
        assert ask(client, messages=shown(url)).choices[0].message.content
        received(recording, f'"image_url":{{"url":"{url}","detail":"low"}}')

    def test_base64_of_each_format(self, client: OpenAI, recording: Stack, account: Account) -> None:
        urls = [
            data_url(png()),
            data_url(jpeg(), "image/jpeg"),
            data_url(gif(), "image/gif"),
            data_url(webp(), "image/webp"),
        ]
        assert ask(client, messages=shown(*urls)).choices[0].message.content
        received(recording, *urls)
        assert (
            account.test.post("/chat/completions", json={"model": "gpt-4", "messages": shown(*urls)}).status_code == 200
        )
        assert account.stack.violations() == []

    @pytest.mark.parametrize(
        ("url", "status"),
        [("http://pictures.example/cat.png", 400), ("file:///etc/passwd", 400),
         ("data:image/svg+xml;base64,PHN2Zz4=", 400), ("data:image/png;base64,no", 400), (data_url(b"hello"), 400),
         (data_url(png(9000, 9000)), 413),
         (data_url(png() + bytes(20 * 1024 * 1024)), 413)],
        ids=["http", "file", "svg", "not base64", "not a picture", "81 megapixels", "20 MB"],
    )  # fmt: skip
    def test_one_that_is_refused(self, account: Account, recording: Stack, url: str, status: int) -> None:
        for path, body in (
            ("/chat/completions", {"model": "gpt-4", "messages": shown("https://a.example/b", url)}),
            ("/jobs", {"type": "chat.completion", "model": "gpt-4", "messages": shown("https://a.example/b", url)}),
        ):
            answer = account.live.post(path, json=body)
            error = answer.json()["error"]
            assert answer.status_code == error["code"] == status
            assert error["param"] == "messages[0].content[2].image_url.url"
            assert error["type"] == ("invalid_request" if status == 400 else "payload_too_large")
        assert account.live.get("/jobs").json()["data"] == [] and calls(recording, "What is this?") == 0

    def test_large_pictures_are_taken_and_their_hold_covers_them(self, account: Account) -> None:
        url = data_url(png(7000, 7000) + bytes(19 * 1024 * 1024))
        body = {"model": "gpt-4", "messages": shown(url), "max_tokens": 5}
        answer = account.live.post("/chat/completions", json=body)
        assert answer.status_code == 200, answer.text[:300]
        assert answer.json()["usage"]["prompt_tokens"] > 0 and account.stack.violations() == []


class Step(BaseModel):
    explanation: str
    output: str


class Solution(BaseModel):
    steps: list[Step]
    final_answer: str
    confidence: float | None = None


class TestFormats:
    """JSON mode, and JSON of a schema."""

    def test_json_object(self, client: OpenAI, recording: Stack) -> None:
        answer = ask(
            client, messages=[{"role": "user", "content": "JSON please"}], response_format={"type": "json_object"}
        )
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
        received(recording, '"response_format":{"type":"json_object"}')

    def test_parse_into_a_pydantic_model(self, client: OpenAI, recording: Stack) -> None:
        answer = client.chat.completions.parse(model="gpt-4", messages=ASKED, response_format=Solution, max_tokens=500)
        solution = answer.choices[0].message.parsed
        assert isinstance(solution, Solution) and solution.final_answer
        received(recording, '"json_schema":{"name":"Solution","schema":{', '"strict":true', '{"type":"null"}')

    @pytest.mark.parametrize(
        ("given", "param"),
        [({"type": "json_schema"}, "response_format"),
         ({"type": "json_schema", "json_schema": {"schema": {}}}, "response_format.json_schema.name"),
         ({"type": "json_schema", "json_schema": {"name": "a"}}, "response_format.json_schema.schema"),
         ({"type": "yaml"}, "response_format.type")],
    )  # fmt: skip
    def test_a_format_that_lacks_something(self, client: OpenAI, given: Any, param: str) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, response_format=given)
        assert refused.value.param == param


class TestSettings:
    """The numbers that steer an answer, handed on as they were given."""

    def test_all_of_them_reach_the_provider(self, client: OpenAI, recording: Stack) -> None:
        answer = ask(
            client, model="gpt-4.1", n=3, stop=["END", "STOP"], top_p=0.25, seed=-7, temperature=1.5,
            presence_penalty=-1.5, frequency_penalty=1.25, logprobs=True, top_logprobs=3, user="customer-9",
        )  # fmt: skip
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        received(
            recording, '"n":3', '"stop":["END","STOP"]', '"top_p":0.25', '"seed":-7', '"temperature":1.5',
            '"presence_penalty":-1.5', '"frequency_penalty":1.25', '"logprobs":true', '"top_logprobs":3',
            '"user":"customer-9"', '"max_tokens":60',
        )  # fmt: skip

    def test_stop_ends_the_text_and_is_not_in_it(self, client: OpenAI) -> None:
        whole = ask(client, model="gpt-4.1").choices[0].message.content
        word = whole.split()[2]
        cut = ask(client, model="gpt-4.1", stop=word).choices[0]
        assert cut.message.content == whole[: whole.index(word)] and cut.finish_reason == "stop"

    def test_an_explicit_null_is_not_there(self, account: Account, recording: Stack) -> None:
        names = (
            "temperature",
            "top_p",
            "n",
            "stop",
            "tools",
            "tool_choice",
            "response_format",
            "logit_bias",
            "seed",
            "user",
        )
        body = {"model": "deepinfra.deepseek-r1", "messages": ASKED, "max_tokens": 9, **dict.fromkeys(names)}
        assert account.live.post("/chat/completions", json=body).status_code == 200
        received(recording, '"temperature":0.7')
        assert calls(recording, "null") == 0

    @pytest.mark.parametrize(
        ("field", "bad", "good"),
        [("temperature", 2.01, 2), ("temperature", -0.01, 0), ("top_p", 1.01, 1), ("top_p", -0.1, 0), ("n", 0, 1),
         ("n", 129, 128), ("stop", ["a", "b", "c", "d", "e"], ["a", "b", "c", "d"]), ("presence_penalty", 2.1, 2),
         ("frequency_penalty", -2.1, -2), ("max_tokens", 0, 1), ("max_completion_tokens", 4097, 4096),
         ("user", "u" * 513, "u" * 512), ("seed", 1.5, 2**62), ("top_logprobs", 5, None)],
    )  # fmt: skip
    def test_ranges(self, account: Account, field: str, bad: Any, good: Any) -> None:
        body = {"model": "gpt-4", "messages": ASKED}
        refused = account.test.post("/chat/completions", json={**body, field: bad})
        # A bound on the answer is known by the name under which it is kept.
        named = "max_tokens" if field == "max_completion_tokens" else field
        assert refused.status_code == 400 and refused.json()["error"]["param"] == named
        assert account.test.post("/chat/completions", json={**body, field: good}).status_code == 200

    def test_n_is_held_and_charged_for(self, client: OpenAI, account: Account) -> None:
        many = ask(client, n=4)
        one = ask(client)
        assert many.usage.completion_tokens > one.usage.completion_tokens
        assert account.live.get("/credits").json()["held"] == 0 and account.stack.violations() == []


class TestSandbox:
    """A test key gets the same shapes."""

    def test_json_and_tools(self, account: Account) -> None:
        with OpenAI(base_url=account.stack.url + "/v1", api_key=account.test_key) as sandbox:
            parsed = sandbox.chat.completions.parse(model="gpt-4", messages=ASKED, response_format=Solution)
            assert isinstance(parsed.choices[0].message.parsed, Solution)
            free = ask(sandbox, response_format={"type": "json_object"})
            assert isinstance(json.loads(free.choices[0].message.content), dict)
            (call,) = ask(sandbox, tools=[WEATHER], tool_choice="required").choices[0].message.tool_calls
            assert call.function.name == "get_weather" and "city" in json.loads(call.function.arguments)
            assert len(ask(sandbox, n=3).choices) == 3
