"""Whatever a provider answers in place of Gemini's answer, it is an answer or a ProviderError, and nothing else."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ProviderError
from shared.submissions.catalogue import Endpoint, catalogue
from tests.providers.test_call_limits import PATIENT
from tests.providers.test_google_request import ask
from tests.providers.test_google_stream import CALLS, TOOL, USAGE, Parts, chunk
from workers.providers import ProviderAnswer, ProviderCall, google

scalars = st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats() | st.text(max_size=5)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
GOOD = [
    chunk({"text": "Let me see.", "thought": True}),
    chunk({"text": "Hello"}, logprobsResult={"chosenCandidates": [{"token": "Hello", "logProbability": -0.5}]}),
    chunk(*CALLS),
    chunk({"text": "", "thoughtSignature": "AA=="}, finish="STOP", usage=USAGE),
]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a value."""
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, one in within for place in places(one, (*at, key)))]


def changed(value: Any, at: tuple[Any, ...], to: Any) -> Any:
    """A value with another one in that place."""
    if not at:
        return to
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = changed(value[at[0]], at[1:], to)
    return copy


@st.composite
def hostile(draw: st.DrawFn) -> list[Any]:
    """The chunks of a sound answer, one to three places of which have something else."""
    chunks: Any = GOOD
    for _ in range(draw(st.integers(1, 3))):
        chunks = changed(chunks, draw(st.sampled_from(places(chunks)[1:])), draw(values))
    return list(chunks)


def answered(content: bytes, kind: str, sink: Parts | None, call: ProviderCall) -> ProviderAnswer:
    async def main() -> ProviderAnswer:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content, headers={"content-type": kind}))
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            upstream = google.connect(catalogue().providers["google"], Endpoint("https://p", "k", False), client)
            return await upstream.call(ProviderCall("job_1", call.type, call.request, call.offer, sink, PATIENT))

    return asyncio.run(main())


def survives(content: bytes, kind: str, sink: Parts | None, call: ProviderCall) -> None:
    try:
        answer = answered(content, kind, sink, call)
    except ProviderError:
        return
    orjson.dumps(answer.body)
    assert 0 <= answer.usage.prompt_tokens and 0 <= answer.usage.completion_tokens
    if sink is not None and sink.began:
        message = answer.body["choices"][0]["message"]
        assert sink.text("content") == (message["content"] or "")


@pytest.mark.parametrize("form", ["stream", "whole", "list"])
@given(hostile())
def test_nothing_else_comes_of_a_chat(form: str, chunks: list[Any]) -> None:
    def json(one: Any) -> bytes:
        return orjson.dumps(one, option=orjson.OPT_NON_STR_KEYS, default=str)

    call = ask(tools=[TOOL])
    chunks = [one for one in chunks if _writable(one)]
    if form == "stream":
        survives(b"".join(b"data: %s\n\n" % json(one) for one in chunks), "text/event-stream", Parts(), call)
    elif form == "list":
        survives(json(chunks), "application/json", None, call)
    else:
        for one in chunks:
            survives(json(one), "application/json", None, call)


def _writable(one: Any) -> bool:
    """Numbers beyond 64 bits are no JSON of orjson's."""
    try:
        orjson.dumps(one)
    except (TypeError, orjson.JSONEncodeError):
        return False
    return True


@given(values.filter(_writable), st.sampled_from(["embedding", "image"]))
def test_nothing_else_comes_of_embeddings_and_images(value: Any, type: str) -> None:
    call = ask(type=type, **({"input": "a"} if type == "embedding" else {"prompt": "a"}))
    for name in ("embeddings", "candidates"):
        for body in ({name: value}, {name: [value]}, {name: [{"values": value, "content": {"parts": [value]}}]}):
            survives(orjson.dumps(body), "application/json", None, call)
