"""What a provider is sent of what OpenAI's SDK and others send here: what was asked for, in its words, nothing else."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from shared import accounts
from tests.acceptance.listening import Listener, listening
from tests.acceptance.stack import Account, Stack, own_stack
from tests.catalogues import written
from tests.conditions import await_condition
from tests.pictures import data_url, gif, png

HI: list[Any] = [{"role": "user", "content": "hi"}]
MARK = {"cache_control": {"type": "ephemeral"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MODEL = """
[models.{name}]
type = "{type}"
provider = "stub"
upstream = "{upstream}"
purpose = "Tests"
{more}
"""


def model(name: str, *more: str, upstream: str = "m", type: str = "chat.completion") -> str:
    if type == "image":
        lines = ['images = { "1024x1024" = 1_000_000, "high/1024x1024" = 4_000_000 }', *more]
    else:
        lines = ["input = 1_000_000", "output = 1_000_000", "max_output = 4096", *more]
    return MODEL.format(name=name, type=type, upstream=upstream, more="\n".join(lines))


ROWS = (
    model("plain"),
    model("gpt5", upstream="gpt-5-mini"),
    model("gpt5-careful", 'omit = ["temperature", "top_p", "logprobs"]', upstream="gpt-5"),
    model("thinker", 'takes = ["reasoning_content", "cache_control", "top_k"]'),
    model("tiered", "service_tiers = { flex = { input = 500_000, output = 500_000 } }", "web_search = 5000"),
    model("seeded", "defaults = { temperature = 0.7 }", 'either = ["temperature", "top_p"]'),
    model("renamed", 'limit = "max_completion_tokens"', 'rename = { seed = "random_seed" }'),
    model("embed", type="embedding"),
    model("draw", type="image"),
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Listener]:
    with listening() as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, upstream: Listener) -> Iterator[Stack]:
    """A stack whose models are the listener's, and a Redis of its own."""
    directory = tmp_path_factory.mktemp("sent")
    provider = f'[providers.stub]\nprotocol = "openai"\nbase_url = "{upstream.url}"\nkey = "STUB_KEY"\n'
    catalogue = written(directory, provider, *ROWS)
    with own_stack(directory, environment={"STUB_KEY": "x"}, CATALOGUE=catalogue) as running:
        yield running


@pytest.fixture
def client(account: Account) -> Iterator[OpenAI]:
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, max_retries=0) as made:
        yield made


def ask(client: OpenAI, name: str, **changes: Any) -> Any:
    return client.chat.completions.create(model=name, messages=changes.pop("messages", HI), **changes)


def ignored(account: Account) -> list[str]:
    """What the newest job was told to have left out."""
    return list(account.live.get("/jobs", params={"limit": 1}).json()["data"][0]["ignored"])


@pytest.mark.parametrize("given", [{"max_completion_tokens": 50}, {"max_tokens": 50}, {}, {"temperature": 1}])
@pytest.mark.parametrize("name", ["gpt5", "gpt5-careful"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_reasoning_model_is_asked_in_its_own_words(
    client: OpenAI, upstream: Listener, name: str, given: dict[str, Any], stream: bool
) -> None:
    if stream:
        assert (
            "".join(chunk.choices[0].delta.content or "" for chunk in ask(client, name, stream=True, **given)) == "ok"
        )
    else:
        assert ask(client, name, **given).choices[0].message.content == "ok"
    sent = upstream.last()
    assert sent["max_completion_tokens"] == (50 if "max_tokens" in str(given) or "completion" in str(given) else 4096)
    assert "max_tokens" not in sent and "n" not in sent
    assert sent.get("temperature") == (1 if "temperature" in given and name == "gpt5" else None)


def test_nothing_is_sent_that_nobody_asked_for(client: OpenAI, upstream: Listener) -> None:
    ask(client, "plain", top_p=0.9)
    assert upstream.last() == {"model": "m", "messages": HI, "top_p": 0.9, "max_tokens": 4096}
    ask(client, "plain", temperature=0, seed=0, presence_penalty=0, logprobs=False, stop=None, n=1, max_tokens=3)
    assert upstream.last() == {
        "model": "m", "messages": HI, "max_tokens": 3, "temperature": 0, "seed": 0, "presence_penalty": 0,
        "logprobs": False, "n": 1,
    }  # fmt: skip
    client.embeddings.create(model="embed", input="a", encoding_format="float")
    assert upstream.last() == {"model": "m", "input": "a", "encoding_format": "float"}
    httpx_like = client.with_raw_response.embeddings.create(model="embed", input="a")
    assert httpx_like.status_code == 200
    client.images.generate(model="draw", prompt="a cat")
    assert upstream.last() == {"model": "m", "prompt": "a cat", "size": "1024x1024"}


def test_a_default_of_the_catalogue_gives_way(client: OpenAI, upstream: Listener) -> None:
    ask(client, "seeded")
    assert upstream.last()["temperature"] == 0.7
    ask(client, "seeded", top_p=0.9)
    assert upstream.last()["top_p"] == 0.9 and "temperature" not in upstream.last()


CARRIED: dict[str, Any] = {
    "reasoning_effort": "high",
    "verbosity": "low",
    "logit_bias": {"50256": -100},
    "prediction": {"type": "content", "content": "a"},
    "parallel_tool_calls": False,
    "seed": 5,
    "logprobs": True,
    "top_logprobs": 2,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "safety_identifier": "s",
    "moderation": {"model": "omni-moderation-latest"},
    "user": "u",
    "tools": [{"type": "function", "function": {"name": "f", "strict": True}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
}


def test_what_changes_the_answer_is_carried(client: OpenAI, upstream: Listener, account: Account) -> None:
    ask(client, "plain", max_tokens=5, **CARRIED)
    assert upstream.last() == {"model": "m", "messages": HI, "max_tokens": 5, **CARRIED} and ignored(account) == []
    drawn = {"quality": "high", "background": "opaque", "output_format": "webp", "output_compression": 50,
             "moderation": "low", "style": "vivid", "user": "u", "n": 2}  # fmt: skip
    client.images.generate(model="draw", prompt="a cat", **drawn)  # type: ignore[call-overload]
    assert upstream.last() == {"model": "m", "prompt": "a cat", "size": "1024x1024", **drawn}
    (job,) = account.live.get("/jobs", params={"limit": 1}).json()["data"]
    assert job["usage"]["credits_used"] == 8 and job["ignored"] == []
    client.embeddings.create(model="embed", input="a", dimensions=1, user="u")
    assert upstream.last()["dimensions"] == 1 and upstream.last()["user"] == "u"


def test_what_costs_has_a_price_or_is_refused(client: OpenAI, upstream: Listener, account: Account) -> None:
    for changes in ({"service_tier": "priority"}, {"service_tier": "flex"}, {"web_search_options": {}}):
        (name,) = changes
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, "plain", **changes)
        assert refused.value.param == name and "not supported" in refused.value.message
    with pytest.raises(openai.BadRequestError, match="quality: not supported by draw; supported values: auto, high"):
        client.images.generate(model="draw", prompt="a cat", quality="low")
    ask(client, "plain", service_tier="auto")
    assert "service_tier" not in upstream.last() and ignored(account) == ["service_tier"]
    ask(client, "tiered", service_tier="flex", web_search_options={"search_context_size": "low"}, max_tokens=5)
    assert upstream.last()["service_tier"] == "flex" and "search_context_size" in str(upstream.last())
    (job,) = account.live.get("/jobs", params={"limit": 1}).json()["data"]
    assert job["usage"]["credits_used"] == 0.000004 and account.stack.violations() == []


def marked() -> dict[str, Any]:
    """A mark in each place where agents put one."""
    return {
        "messages": [
            {"role": "system", "content": "a", **MARK},
            {"role": "user", "content": [{"type": "text", "text": "hi", **MARK}]},
            {
                "role": "assistant",
                "reasoning_content": "Let me see.",
                "tool_calls": [{**CALL, **MARK}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "1", **MARK}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}, **MARK}],
    }


PATHS = {
    "messages[0].cache_control",
    "messages[1].content[0].cache_control",
    "messages[2].reasoning_content",
    "messages[2].tool_calls[0].cache_control",
    "messages[3].content[0].cache_control",
    "tools[0].cache_control",
}


class TestHints:
    """By every door: taken, sent on where the catalogue says so, told elsewhere."""

    def test_a_single_call(self, client: OpenAI, upstream: Listener, account: Account) -> None:
        ask(client, "plain", max_tokens=5, **marked())
        assert "cache_control" not in str(upstream.last()) and "reasoning" not in str(upstream.last())
        assert set(ignored(account)) == PATHS
        ask(client, "thinker", max_tokens=5, **marked())
        assert upstream.last() == {"model": "m", "max_tokens": 5, **marked()} and ignored(account) == []

    def test_a_job_and_a_list(self, account: Account) -> None:
        body = {"type": "chat.completion", "model": "plain", **marked()}
        assert set(account.run(body)["ignored"]) == PATHS
        listed = account.live.post("/jobs", json={"jobs": [body, body]}).json()["data"]
        assert [set(account.finished(job["id"])["ignored"]) for job in listed] == [PATHS, PATHS]
        test = account.test.post("/jobs", json=body).json()
        assert set(account.finished(test["id"], test=True)["ignored"]) == PATHS

    def test_a_batch_and_its_dry_run(self, account: Account) -> None:
        line = {"custom_id": "a", "url": "/v1/chat/completions", "body": {"model": "plain", **marked()}}
        tried = account.live.post("/batches", json={"requests": [line], "dry_run": True}).json()
        assert tried["valid"] and tried["credits_worst_case"] > 0
        batch = account.live.post("/batches", json={"requests": [line]}).json()
        done = _batch(account, batch["id"])
        assert done["request_counts"]["completed"] == 1
        (job,) = account.live.get("/jobs", params={"batch_id": batch["id"]}).json()["data"]
        assert set(job["ignored"]) == PATHS

    def test_an_answer_is_sent_back_as_the_sdk_has_it(self, client: OpenAI, upstream: Listener) -> None:
        first = ask(client, "plain").choices[0].message
        for turn in (first, first.model_dump(), first.to_dict()):
            ask(client, "plain", messages=[*HI, turn, *HI])
            assert upstream.last()["messages"] == [*HI, {"role": "assistant", "content": "ok"}, *HI]

    def test_hints_of_the_whole_request(self, client: OpenAI, account: Account) -> None:
        extra = {"cache_control": MARK["cache_control"], "top_k": 5, "thinking": {"type": "enabled"}}
        ask(client, "plain", store=True, metadata={"a": "b"}, extra_body=extra,
            stream_options={"include_usage": True}, stream=False)  # fmt: skip
        assert set(ignored(account)) == {"cache_control", "top_k", "thinking", "store"}


class TestUnknown:
    """Fields that nobody knows."""

    BODY = {"model": "plain", "messages": [{**HI[0], "mood": 1}], "colour": "red"}  # noqa: RUF012

    def test_are_refused_by_their_path(self, account: Account) -> None:
        answer = account.live.post("/chat/completions", json=self.BODY)
        assert answer.status_code == 400 and answer.json()["error"]["param"] in ("messages[0].mood", "colour")

    def test_are_told_where_the_account_says_so(self, account: Account) -> None:
        account.stack.write(accounts.set_unknown_fields, account.id, "ignore")
        post = account.live.post
        await_condition(
            lambda: post("/chat/completions", json=self.BODY).status_code == 200, seconds=10, what="the setting"
        )
        assert set(ignored(account)) == {"messages[0].mood", "colour"}
        assert set(account.run({"type": "chat.completion", **self.BODY})["ignored"]) == {"messages[0].mood", "colour"}
        line = {"custom_id": "a", "url": "/v1/chat/completions", "body": self.BODY}
        assert post("/batches", json={"requests": [line], "dry_run": True}).json()["valid"]
        batch = post("/batches", json={"requests": [line]}).json()
        assert _batch(account, batch["id"])["request_counts"]["completed"] == 1
        assert post("/chat/completions", json={**self.BODY, "temperature": 3}).status_code == 400


S = base64.b64encode(png(3, 5)).decode()
#: Ways to write the same picture.
WRITTEN = {
    "no padding": "data:image/png;base64," + S.rstrip("="),
    "line breaks": "data:image/png;base64," + base64.encodebytes(png(3, 5)).decode(),
    "the URL-safe alphabet": "data:image/png;base64," + base64.urlsafe_b64encode(png(3, 5)).decode(),
    "a blank before": "data:image/png;base64, " + S,
    "blanks around": f"  data:image/png;base64,{S}\r\n ",
    "parameters": "data:image/png;charset=utf-8;name=a.png;base64," + S,
    "upper case": "DATA:IMAGE/PNG;BASE64," + S,
    "no media type": "data:;base64," + S,
    "no media type at all": "data:base64," + S,
    "another media type": "data:image/jpeg;base64," + S,
    "one that says nothing": "data:application/octet-stream;base64," + S,
    "percent-encoded": "data:image/png;base64," + S.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
    "no data:": S,
    "no data:, line breaks": base64.encodebytes(png(3, 5)).decode(),
    "bytes": "data:image/png," + "".join(f"%{byte:02x}" for byte in png(3, 5)),
}


class TestPictures:
    """One picture, as clients write it."""

    @pytest.mark.parametrize("way", WRITTEN)
    def test_goes_on_in_one_form(self, client: OpenAI, upstream: Listener, way: str) -> None:
        part = {"type": "image_url", "image_url": {"url": WRITTEN[way], "detail": "high"}}
        ask(client, "plain", messages=[{"role": "user", "content": [part]}])
        url = upstream.last()["messages"][0]["content"][0]["image_url"]["url"]
        assert url == "data:image/png;base64," + S

    @pytest.mark.parametrize(
        "part",
        [{"type": "image_url", "image_url": WRITTEN["no padding"]},
         {"type": "input_image", "image_url": "data:image/png;base64," + S},
         {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": S}},
         {"type": "image", "image": S}, {"type": "image", "source": {"type": "base64", "data": S}}],
    )  # fmt: skip
    def test_in_another_part(self, client: OpenAI, upstream: Listener, part: dict[str, Any]) -> None:
        ask(client, "plain", messages=[{"role": "user", "content": [{"type": "input_text", "text": "a"}, part]}])
        sent = upstream.last()["messages"][0]["content"]
        assert sent == [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + S}},
        ]

    @pytest.mark.parametrize(
        ("url", "said"),
        [("data:image/png;base64,iVBO!w0K", "character '!' is not allowed (position 5)"),
         ("data:image/png;base64,iVBO\u00e9w0K", "(position 5)"),
         ("data:image/png;base64,iVBO=w0K", "before the end (position 5)"),
         ("data:image/png;base64,iVBOR", "5 characters"), ("http://a.example/b.png", "https"),
         ("data:text/html;base64," + S, "media type"), ("data:image/png," + S, "base64"),
         (data_url(gif(0, 0), "image/gif"), "dimensions"), ("", ""), ("x", "https")],
    )  # fmt: skip
    def test_what_is_refused_says_where(self, account: Account, url: str, said: str) -> None:
        part = {"type": "image_url", "image_url": {"url": url}}
        answer = account.live.post(
            "/chat/completions", json={"model": "plain", "messages": [{"role": "user", "content": [part]}]}
        )
        assert answer.status_code == 400 and said in answer.json()["error"]["message"], answer.text
        assert answer.json()["error"]["param"] == "messages[0].content[0].image_url.url"


def _batch(account: Account, id: str) -> dict[str, Any]:
    def over() -> Any:
        batch = account.live.get(f"/batches/{id}").json()
        return batch if batch["status"] in ("completed", "failed", "expired") else None

    found: list[Any] = []
    await_condition(lambda: bool(found.append(over()) or found[-1]), seconds=30, what="the batch")
    assert isinstance(found[-1], dict)
    return found[-1]


def test_a_simulated_reasoning_model_refuses_what_the_real_one_does(stack: Stack) -> None:
    url = stack.simulator + "/openai/v1/chat/completions"
    for bad in ({"max_tokens": 5}, {"temperature": 0.7}, {"top_p": 0.5}):
        answer = httpx.post(url, json={"model": "gpt-5", "messages": HI, **bad}, headers={"authorization": "Bearer k"})
        assert answer.status_code == 400 and answer.json()["error"]["param"] == next(iter(bad))
    good = {"model": "o3-mini", "messages": HI, "max_completion_tokens": 5, "temperature": 1}
    assert httpx.post(url, json=good, headers={"authorization": "Bearer k"}).status_code == 200
