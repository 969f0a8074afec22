"""A provider's call against real sockets: its limits of time, streamed and not, and what its errors say."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
import pytest

from shared.errors import ProviderError
from shared.providers.limits import ProviderLimit, RateLimits
from shared.submissions.catalogue import Endpoint, Provider
from shared.submissions.offers import Offer
from tests.providers.scripted import STALL, Step, Upstream, serving
from workers.providers import ProviderAnswer, ProviderCall, openai
from workers.upstream import post
from workers.upstream.exchange import Exchange
from workers.upstream.faults import classify
from workers.upstream.time_limits import TimeLimits
from workers.upstream.transport import ProviderClient

OFFER = Offer(
    provider="p", model="ours", upstream="theirs", input=1, output=1, version="v", bound_micros=1, max_output=9
)
REQUEST = {"messages": [{"role": "user", "content": "hi"}]}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
BODY = orjson.dumps({"choices": [CHOICE], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
RATES = b"x-ratelimit-limit-requests: 10\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6m0s\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%sConnection: close\r\n\r\n"
PATIENT = TimeLimits(first_seconds=30, idle_seconds=30, whole_seconds=60)
#: The limit that a code is about is short, the others are not: a busy machine changes nothing.
SHORT = {
    "first_byte": TimeLimits(first_seconds=0.5, idle_seconds=30, whole_seconds=60),
    "idle": TimeLimits(first_seconds=30, idle_seconds=0.5, whole_seconds=60),
    "timeout": TimeLimits(first_seconds=30, idle_seconds=30, whole_seconds=1.5),
}


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.said: list[str] = []

    @property
    def began(self) -> bool:
        return bool(self.said)

    def send(self, head: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> None:
        self.said.extend(choice["delta"].get("content") or "" for choice in choices)


async def called(upstream: Upstream, limits: TimeLimits, sink: Kept | None = None) -> ProviderAnswer:
    async with ProviderClient(2) as client:
        provider = openai.connect(Provider(name="p", protocol="openai"), Endpoint(upstream.url, "k", False), client)
        return await provider.call(ProviderCall("job_1", "chat.completion", REQUEST, OFFER, sink, limits))


def answer(*steps: Step, limits: TimeLimits = PATIENT, sink: Kept | None = None) -> ProviderAnswer:
    async def main() -> ProviderAnswer:
        async with serving(steps) as upstream:
            return await called(upstream, limits, sink)

    return asyncio.run(main())


def failed(*steps: Step, limits: TimeLimits = PATIENT, sink: Kept | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        answer(*steps, limits=limits, sink=sink)
    return error.value


def event(**delta: Any) -> bytes:
    finish = delta.pop("finish", None)
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


ROLE = event(role="assistant", content="")
COMMENT = b": keep-alive\n\n"
BEGUN = (STREAM % b"", ROLE, event(content="Hel"))

#: What an upstream does, the code, whether the head had come, the kind.
UNSTREAMED: dict[str, tuple[tuple[Step, ...], set[str], bool, set[str]]] = {
    "silent": ((STALL,), {"first_byte"}, False, {"unreachable"}),
    "hangs up": ((), {"connect", "reset"}, False, {"unreachable"}),
    "resets": (("reset",), {"connect", "reset"}, False, {"unreachable"}),
    "silent after the head": ((HEAD % (b"", 100), STALL), {"idle"}, True, {"broken"}),
    "silent in the body": ((HEAD % (b"", 100), b"{", 0.2, b'"a', STALL), {"idle"}, True, {"broken"}),
    "without an end": ((HEAD % (b"", 100), *((b" ", 0.2) * 20)), {"timeout"}, True, {"broken"}),
    "cut short": ((HEAD % (b"", 100), b"{}"), {"protocol", "reset"}, True, {"broken"}),
    "reset in the body": ((HEAD % (b"", 100), b"{}", 0.1, "reset"), {"protocol", "reset"}, True, {"broken"}),
    "not JSON": ((HEAD % (b"", 2), b"{{"), {"protocol"}, True, {"broken"}),
    "no choices": ((HEAD % (b"", 14), b'{"choices":[]}'), {"empty"}, True, {"broken"}),
    "an error in a 200": (
        (HEAD % (b"", 64), b'{"error":{"message":"m","type":"x","code":"insufficient_quota"}}'),
        {"insufficient_quota"},
        False,
        {"quota"},
    ),
}
STREAMED: dict[str, tuple[tuple[Step, ...], set[str], bool, set[str]]] = {
    "silent": ((STALL,), {"first_byte"}, False, {"unreachable"}),
    "a role and comments are no answer": (
        (STREAM % b"", ROLE, *((COMMENT, 0.15) * 9)),
        {"first_byte"},
        True,
        {"unreachable"},
    ),
    "silent after the first words": ((*BEGUN, STALL), {"idle"}, True, {"broken"}),
    "silent after a thought": ((STREAM % b"", event(reasoning_content="hm"), STALL), {"idle"}, True, {"broken"}),
    "without an end": ((*BEGUN, *((event(content="x"), 0.2) * 20)), {"timeout"}, True, {"broken"}),
    "comments without an end": ((*BEGUN, *((COMMENT, 0.2) * 20)), {"timeout"}, True, {"broken"}),
    "cut short": (BEGUN, {"protocol"}, True, {"broken"}),
    "reset": ((*BEGUN, 0.1, "reset"), {"reset", "protocol"}, True, {"broken"}),
    "one event malformed": ((*BEGUN, b"data: {cut\n\n", event(finish="stop")), {"protocol"}, True, {"broken"}),
    "an error instead": (
        (STREAM % b"", ROLE, b'data: {"error":{"message":"m","code":"insufficient_quota"}}\n\n'),
        {"insufficient_quota"},
        False,
        {"quota"},
    ),
    "an error after the first words": (
        (*BEGUN, b'data: {"error":{"message":"m","code":"server_error"}}\n\n'),
        {"server_error"},
        True,
        {"broken"},
    ),
}


@pytest.mark.parametrize(("steps", "codes", "head", "kinds"), UNSTREAMED.values(), ids=UNSTREAMED)
def test_an_unstreamed_call_that_fails(steps: tuple[Step, ...], codes: set[str], head: bool, kinds: set[str]) -> None:
    error = failed(*steps, limits=SHORT.get(min(codes), PATIENT))
    assert error.code in codes and error.head is head and classify(error) in kinds


@pytest.mark.parametrize(("steps", "codes", "head", "kinds"), STREAMED.values(), ids=STREAMED)
def test_a_streamed_call_that_fails(steps: tuple[Step, ...], codes: set[str], head: bool, kinds: set[str]) -> None:
    error = failed(*steps, limits=SHORT.get(min(codes), PATIENT), sink=Kept())
    assert error.code in codes and error.head is head and classify(error) in kinds


def test_the_first_limit_is_the_shorter_one_s_own() -> None:
    async def main() -> float:
        async with serving([STALL]) as upstream:
            began = asyncio.get_running_loop().time()
            with pytest.raises(ProviderError):
                await called(upstream, TimeLimits(0.3, 60, 600))
            return asyncio.get_running_loop().time() - began

    assert 0.3 <= asyncio.run(main()) < 3


def test_a_slow_answer_that_keeps_coming_is_no_silence() -> None:
    pieces = [BODY[at : at + 20] for at in range(0, len(BODY), 20)]
    steps = [step for piece in pieces for step in (piece, 0.4)]
    limits = TimeLimits(first_seconds=30, idle_seconds=2, whole_seconds=60)
    got = answer(HEAD % (b"", len(BODY)), *steps, limits=limits)
    assert got.body["choices"][0]["message"]["content"] == "Hello"


def test_comments_of_the_provider_are_life_once_the_answer_has_begun() -> None:
    sink = Kept()
    waiting = (COMMENT, 0.5) * 5
    end = (event(content="lo"), event(finish="stop"), b"data: [DONE]\n\n")
    limits = TimeLimits(first_seconds=30, idle_seconds=2, whole_seconds=60)
    answer(*BEGUN, *waiting, *end, limits=limits, sink=sink)
    assert "".join(sink.said) == "Hello"


@pytest.mark.parametrize("end", [(), (STALL,), ("reset",)])
def test_a_stream_without_done_is_whole_with_its_finish_reason(
    end: tuple[Step, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.upstream.exchange.LINGER_SECONDS", 0.2)
    sink = Kept()
    got = answer(*BEGUN, event(content="lo"), event(finish="stop"), *end, sink=sink)
    assert got.body["choices"][0]["message"]["content"] == "Hello"


def test_the_body_of_an_error_is_not_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "REFUSAL_SECONDS", 0.2)
    head = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 50\r\n\r\n{"
    for sink in (None, Kept()):
        error = failed(head, STALL, sink=sink)
        assert (error.upstream_status, error.wait_seconds, error.head, classify(error)) == (429, 7.0, False, "rate")
        assert failed(head, sink=sink).wait_seconds == 7.0


@pytest.mark.parametrize("streamed", [False, True])
def test_rate_limits_are_told_with_answers_and_errors(streamed: bool) -> None:
    told = RateLimits(requests=ProviderLimit(10, 0, 360.0))
    good = (STREAM % RATES, event(content="x"), event(finish="stop")) if streamed else (HEAD % (RATES, len(BODY)), BODY)
    sink = Kept() if streamed else None
    assert answer(*good, sink=sink).limits == told
    head = b"HTTP/1.1 429 Too Many Requests\r\n%sContent-Length: 2\r\n\r\n{}" % RATES
    refused = failed(head, sink=sink)
    assert (refused.limits, refused.wait_seconds) == (told, 360.0)
    spoiled = (STREAM % RATES, b"data: {\n\n") if streamed else (HEAD % (RATES, 1), b"{")
    assert failed(*spoiled, sink=sink).limits == told


def test_a_call_cancelled_from_elsewhere_stays_cancelled() -> None:
    async def main() -> None:
        async with serving([STALL]) as upstream:
            call = asyncio.create_task(called(upstream, PATIENT))
            await upstream.asked.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert call.cancelled()

    asyncio.run(main())


def test_a_caller_s_own_timeout_around_it_is_still_the_caller_s() -> None:
    async def main() -> None:
        async with serving([STALL]) as upstream:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await called(upstream, PATIENT)

    asyncio.run(main())


def test_a_silent_provider_that_was_given_up_is_hung_up_at_once() -> None:
    async def main() -> None:
        async with serving([STALL]) as upstream, ProviderClient(2) as client:
            provider = openai.connect(Provider(name="p", protocol="openai"), Endpoint(upstream.url, "k", False), client)
            with pytest.raises(ProviderError, match="did not start"):
                await provider.call(
                    ProviderCall("job_1", "chat.completion", REQUEST, OFFER, None, TimeLimits(0.2, 0.3, 600))
                )
            async with asyncio.timeout(10):
                await upstream.gone.wait()

    asyncio.run(main())


def test_calls_of_like_limits_share_their_connections() -> None:
    good = (HEAD % (b"", len(BODY)), BODY, STALL)

    async def main() -> int:
        async with serving(good) as upstream, ProviderClient(2) as client:
            provider = openai.connect(Provider(name="p", protocol="openai"), Endpoint(upstream.url, "k", False), client)
            await provider.call(ProviderCall("job_1", "chat.completion", REQUEST, OFFER, None, TimeLimits(10, 60, 600)))
            upstream.asked.clear()
            again = ProviderCall("job_1", "chat.completion", REQUEST, OFFER, None, TimeLimits(1, 59, 600))
            with pytest.raises(ProviderError):  # the script serves one request a connection
                await provider.call(again)
            return upstream.connections

    assert asyncio.run(main()) == 1


def test_a_limit_is_kept_though_a_piece_comes_in_that_moment() -> None:
    async def main() -> tuple[str | None, int]:
        exchange, task = (
            Exchange(TimeLimits(first_seconds=0.01, idle_seconds=5, whole_seconds=5)),
            asyncio.current_task(),
        )
        assert task is not None
        with pytest.raises(ProviderError) as error, exchange:
            with suppress(asyncio.CancelledError):  # as the transport does, which has a piece by then
                await asyncio.Event().wait()
            exchange.alive(1)
        return error.value.code, task.cancelling()

    assert asyncio.run(main()) == ("first_byte", 0)
