"""Bodies that nobody should send: not JSON, JSON of the wrong shape, and mutations of good ones."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from tests.acceptance.stack import chat, embedding, image
from tests.pictures import data_url, gif, jpeg, png, webp

DEEP = 5000
SCALARS = [b"null", b"true", b"0", b"-1", b"1e999", b"NaN", b"[]", b'""', b'"\\u0000"', b'"\\ud800"', b"[[]]", b"{}"]
#: What a value is replaced by, one after the other.
VALUES: list[Any] = [
    None, True, False, 0, -1, 5.5, 2**63 - 1, -(2**63), 1e300, "", "x", "\u202e", "💥" * 50, "a" * 3000, [], [[]],
    [None], {}, {"a": {"a": []}}, [{"type": "text"}], {"type": "function"}, "data:image/png;base64,AAAA", "https://a.example/b",
    "gpt-4",
]  # fmt: skip
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def bare(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a call that stands for a job's type."""
    return {name: value for name, value in body.items() if name != "type"}


def shown(*urls: Any) -> dict[str, Any]:
    """A chat that shows pictures."""
    return bare(chat(messages=[{"role": "user", "content": [picture(url) for url in urls]}]))


def picture(url: Any) -> dict[str, Any]:
    """A part of a message."""
    return {"type": "image_url", "image_url": {"url": url}}


def deep(open: bytes, close: bytes, inside: bytes = b"1") -> bytes:
    return open * DEEP + inside + close * DEEP


def raw(good: dict[str, Any]) -> Iterator[bytes]:
    """Bodies that are not JSON, or not what anybody should send, some of them made of a good one."""
    yield from (b"", b" ", b"\x00", b"\xff\xfe", b"hello", b"{", b'{"a"', b"}{", b"[1,]", b"{'a':1}", b"\xef\xbb\xbf{}")
    yield from (deep(b"[", b"]"), deep(b'{"a":', b"}"), b"[" * 100_000, b'{"a":' * 50_000)
    yield from (b"null", b"[]", b"[{}]", b'"jobs"', b"1", b"1e400", b"9" * 5000, b"-" * 1000, b"NaN")
    text = json.dumps(good).encode()
    yield from (
        text[:-1],
        text + text,
        text + b"\x00",
        text.decode().encode("utf-16"),
        text[:-2] + b"\xc0\x80" + text[-2:],
    )
    yield b"{" + b",".join(b'"k%d":1' % n for n in range(20_000)) + b"}"
    first = next(iter(good)).encode()
    yield text.replace(b"{", b'{"' + first + b'": 1, ', 1)
    for name in (*list(good)[:3], "metadata", "extra"):
        for value in (b"NaN", b"-Infinity", b"1e999", b'"\\u0000"', b'["\\ud800"]', b"9" * 5000, deep(b"[", b"]")):
            yield b'{"' + name.encode() + b'":' + value + b"}"


def chats() -> Iterator[dict[str, Any]]:
    """Chats with something wrong in them."""
    for field in ("model", "messages", "temperature", "max_tokens", "n", "stop", "tools", "metadata", "routing"):
        for value in (5.5, -(2**63), 2**63 - 1, [], {}, [None], "", [[]], {"a": {"a": []}}, True):
            harmless = (("model", {}), ("metadata", {}), ("routing", {}), ("stop", []), ("stop", ""))
            if (field, value) not in harmless:
                yield bare(chat(**{field: value}))
    for field in (
        "tool_choice",
        "response_format",
        "logprobs",
        "top_logprobs",
        "seed",
        "user",
        "top_p",
        "stream_options",
    ):
        for value in (5.5, [], "\u0001", {"type": 5}, {"type": "json_schema"}, -1e300):
            if not (field == "user" and value == "\u0001"):
                yield bare(chat(**{field: value}))
    for content in (5, [5], [], [{"type": "image_url", "image_url": "x"}], [{"type": "text", "text": None}], {}, [[]]):
        yield bare(chat(messages=[{"role": "user", "content": content}]))
    for tool in (None, 5, {}, {"type": "function", "function": {"name": "a" * 65}}, {**WEATHER, "x": 1}, [WEATHER]):
        yield bare(chat(tools=[tool]))
    for schema in (None, 5, [], {"name": "a"}, {"name": "a", "schema": []}, {"name": "a b", "schema": {}}):
        yield bare(chat(response_format={"type": "json_schema", "json_schema": schema}))
    yield bare(chat(metadata={"k": "v" * 100_000}))
    yield bare(chat(metadata={"": 5}))
    yield bare(chat(routing={"fallbacks": ["gpt-4"] * 1000}))
    yield bare(chat(model="gpt-4" * 100_000))
    yield bare(chat(messages=[{"role": "user", "content": [5] * 90_000}]))


def beside() -> Iterator[dict[str, Any]]:
    """Chats with something wrong in what stands beside their words."""
    for field in (
        "logit_bias", "prediction", "web_search_options", "moderation", "prompt_cache_options", "thinking", "reasoning",
        "cache_control", "chat_template_kwargs", "extra_body", "stream_options", "reasoning_effort", "service_tier",
        "top_k",
    ):  # fmt: skip
        for value in (5.5, [], [[]], "x" * 1000, {"a": {"a": []}} if field == "logit_bias" else [None]):
            yield bare(chat(**{field: value}))
    for beside in (
        {"cache_control": 5}, {"reasoning_content": {}, "x": 1}, {"reasoning": [1]}, {"function_call": {"name": "f"}},
        {"thinking_blocks": "a"}, {"tool_calls": [[]]}, {"tool_calls": [{"function": {"arguments": {}}}]},
        {"extras": {}},
        {"content": [{"type": ["thinking"]}]}, {"content": [{"type": "thinking"}, 5]}, {"provider_specific_fields": 1},
        {"content": [{"type": "image", "source": {"data": []}}]}, {"content": [{"type": "input_image"}]},
    ):  # fmt: skip
        yield bare(chat(messages=[{"role": "assistant", "content": "a", **beside}]))
    for name in ("extras", "unasked", "x" * 50_000):
        yield bare(chat(**{name: {"messages[0].content": 1}}))


def pictures() -> Iterator[dict[str, Any]]:
    """Chats that show what is no picture, or too large a one."""
    for url in (
        "",
        5,
        None,
        [],
        {},
        "x",
        "http://a.example/b.png",
        "file:///etc/passwd",
        "https://",
        "https://[::1",
        "data:,",
    ):
        yield shown(url)
    for data in ("!!!!", "AAA", "=", "iVBORw0KGgo=", "aGVsbG8=", "A" * 100_000, "%41%41", "\ud7ff"):
        yield shown(f"data:image/png;base64,{data}")
    for kind in ("image/svg+xml", "text/html", "image/png;base64;x", "../../etc", "image/" + "p" * 500):
        yield shown(data_url(png(), kind) if "base64;x" not in kind else f"data:{kind},AAAA")
    for huge in (png(2**31 - 1, 2**31 - 1), jpeg(65_535, 65_535), gif(65_535, 65_535), webp(2**24, 2**24), png(0, 1)):
        yield shown(data_url(huge))
    for content in (
        png()[:12],
        jpeg()[:6],
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 50_000,
        b"GIF89a",
        webp()[:15],
        b"\xff" * 50_000,
    ):
        yield shown(data_url(content))
    yield shown(data_url(png()), data_url(png()), "ftp://a.example/")
    yield shown("data:image/png;base64," + "A" * 30_000_000)


def embeddings() -> Iterator[dict[str, Any]]:
    """Embeddings with something wrong in them."""
    for given in (
        [],
        [[]],
        [None],
        [1.5],
        [-(2**63), "a"],
        {"a": 1},
        [["a"]],
        None,
        "",
        [True],
        [[1]] * 3000,
        [1.5] * 90_000,
    ):
        yield bare(embedding(input=given))
    for field, value in (("dimensions", 0), ("dimensions", 2**62), ("encoding_format", 5), ("user", 5), ("model", [])):
        yield bare(embedding(**{field: value}))


def images() -> Iterator[dict[str, Any]]:
    """Pictures to draw, with something wrong in them."""
    for size in ("0x0", "-1x1", "1e3x1e3", "99999x99999", "１０２４x１０２４", "1024x1024\n", 5, [], "autox"):
        yield bare(image(size=size))
    for field, value in (
        ("prompt", ""), ("prompt", "p" * 40_000), ("n", 0), ("n", 2**62), ("response_format", "png"),
        ("quality", "best"), ("quality", []), ("output_format", "svg"), ("output_compression", 101),
        ("background", 5), ("unasked", ["n"]),
    ):  # fmt: skip
        yield bare(image(**{field: value}))


def lists() -> Iterator[dict[str, Any]]:
    """Lists of jobs."""
    for jobs in ({}, "", 5, None, [], [None], [[]], [5], [chat(), 5], [{"jobs": [chat()]}], [chat(), chat(type="x")]):
        yield {"jobs": jobs}
    yield {"jobs": [chat()], "model": "gpt-4"}
    yield {"jobs": [chat()], "x" * 10_000: 1}
    for type in (None, 5, [], {}, "chat", "image\u0000"[:5] + "s"):
        yield chat(type=type)


def batches() -> Iterator[dict[str, Any]]:
    """Batches that cannot be begun, whatever their lines are."""
    for requests in (5, "", {}, [], None):
        yield {"requests": requests}
    for field, value in (
        ("endpoint", 5), ("endpoint", "/v1/nothing"), ("completion_window", "1s"), ("completion_window", 24),
        ("metadata", []), ("metadata", {"a": 5}), ("priority", 10), ("priority", "9"), ("notify_each", "yes"),
        ("dry_run", "no"), ("colour", 1), ("output_expires_after", {"anchor": "now", "seconds": 5}),
        ("output_expires_after", 5), ("input_file_id", "file_0"),
    ):  # fmt: skip
        yield {"requests": [LINE], field: value}
    for id in (5, "", "file_0", "../../etc/passwd", "a" * 10_000, [], {}):
        yield {"input_file_id": id}


def webhooks() -> Iterator[dict[str, Any]]:
    """Webhooks that cannot be."""
    for url in (5, None, [], "", "ftp://127.0.0.1/", "http://10.0.0.1/", "http://[::1", "http://" + "a" * 3000):
        yield {"url": url}
    for events in (5, "all", [5], ["nothing"], [[]], {"a": 1}):
        yield {"url": "http://127.0.0.1:9/", "events": events}


def thresholds() -> Iterator[dict[str, Any]]:
    """Thresholds that are none."""
    for given in (None, {}, "x", [5], [{}], [{"kind": "all", "credits": 1}], [{"kind": "spent"}],
                  [{"kind": "spent", "credits": -1}], [{"kind": "spent", "credits": "1"}],
                  [{"kind": "spent", "credits": 2e9}], [{"kind": "spent", "credits": True}],
                  [{"kind": "spent", "credits": 1}] * 21):  # fmt: skip
        yield {"thresholds": given}


LINE = {"custom_id": "a", "url": "/v1/embeddings", "body": bare(embedding())}
MARK = {"cache_control": {"type": "ephemeral"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}, "index": 0, **MARK}
#: A conversation with what agents and servers write beside its words.
TURNS = [
    {"role": "system", "content": [{"type": "text", "text": "a", **MARK}], **MARK},
    {"role": "assistant", "content": None, "reasoning_content": "b", "annotations": [{}], "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": []},
    {"role": "user", "content": [{"type": "input_image", "image_url": data_url(png()).rstrip("=")}]},
]
REPLY = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
#: The routes that take a JSON body: method, path, a good body, bodies with something wrong in them.
ROUTES: list[tuple[str, str, dict[str, Any], list[dict[str, Any]]]] = [
    ("POST", "/chat/completions", bare(chat()), [*chats(), *beside(), *pictures()]),
    ("POST", "/embeddings", bare(embedding()), list(embeddings())),
    ("POST", "/images", bare(image()), list(images())),
    ("POST", "/images/generations", bare(image()), list(images())),
    ("POST", "/jobs", chat(), [*({**body, "type": "chat.completion"} for body in chats()), *lists()]),
    ("POST", "/batches", {"requests": [LINE]}, list(batches())),
    ("POST", "/webhooks", {"url": "http://127.0.0.1:9/", "events": ["job.completed"]}, list(webhooks())),
    ("PUT", "/credits/thresholds", {"thresholds": [{"kind": "spent", "credits": 5}]}, list(thresholds())),
]  # fmt: skip

#: Good bodies that mutations begin with.
GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/chat/completions", bare(chat(tools=[WEATHER], tool_choice="auto", stop=["a"], seed=5, logprobs=True))),
    ("POST", "/chat/completions", shown("https://a.example/b.png", data_url(png()), data_url(jpeg(), "image/jpeg"))),
    ("POST", "/chat/completions", bare(chat(response_format=REPLY))),
    ("POST", "/chat/completions", bare(chat(messages=TURNS, logit_bias={"5": -1}, reasoning_effort="low"))),
    ("POST", "/embeddings", bare(embedding(dimensions=4, encoding_format="base64"))),
    ("POST", "/embeddings", bare(embedding(input=[[1, 2], [3]], dimensions=4))),
    ("POST", "/images", bare(image(n=2, size="1024x1536", response_format="b64_json"))),
    ("POST", "/jobs", chat(metadata={"a": "b"}, routing={"fallbacks": ["gemini-pro"], "budget": "economy"})),
    ("POST", "/jobs", {"jobs": [chat(), image(), embedding(dimensions=2)]}),
    ("POST", "/batches", {"requests": [LINE], "dry_run": True, "completion_window": "1h", "metadata": {"a": "b"}}),
    ("POST", "/webhooks", {"url": "http://127.0.0.1:9/", "events": ["job.completed", "batch.failed"]}),
    ("PUT", "/credits/thresholds", {"thresholds": [{"kind": "spent", "credits": 5}, {"kind": "remaining"}]}),
]  # fmt: skip


def mutated(good: dict[str, Any], chance: random.Random) -> bytes:
    """A body like a good one: half of them still JSON."""
    if chance.random() < 0.5:
        changed = copy.deepcopy(good)
        for _ in range(chance.randint(1, 3)):
            _change(changed, chance)
        return json.dumps(changed).encode()
    body = bytearray(json.dumps(good).encode())
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(body) or 1)
        kind = chance.randrange(4)
        if kind == 0:
            body[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del body[at : at + chance.randint(1, 9)]
        elif kind == 2:
            body[at:at] = chance.choice(SCALARS)
        else:
            body[at:at] = body[at : at + 20]
    return bytes(body)


def _change(value: Any, chance: random.Random) -> None:
    """Replace, remove, double or add one thing somewhere in a JSON value."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = chance.choice(keys)
        inner = value[key]
        if isinstance(inner, (dict, list)) and inner and chance.random() < 0.7:
            value = inner
            continue
        kind = chance.randrange(5)
        if kind == 0:
            del value[key]
        elif kind == 1:
            value[key] = [inner, inner]
        elif kind == 2 and isinstance(value, dict):
            value[chance.choice(["type", "model", "x", "", "url", str(key).upper()])] = inner
        elif kind == 3 and isinstance(inner, str):
            at = chance.randrange(len(inner) + 1)
            value[key] = inner[:at] + chance.choice(["", "\u0000", "\ud800", "=", " ", "é", "😀"]) + inner[at + 1 :]
        else:
            value[key] = copy.deepcopy(chance.choice(VALUES))
        return
