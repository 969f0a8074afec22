"""Sixteen faults of a provider, with a healthy one to fall back to: S01 to S07 and S11 to S13, before an answer begins.

The judge is the providers' own log: who was called how often and when. Then what the client got, streamed or not.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.faults import (
    HEALTHY,
    SLACK_SECONDS,
    SPARE,
    TURN_SECONDS,
    ask,
    both_ways,
    check_served,
    fault,
    made,
    primary,
)
from tests.acceptance.stack import Account, Stack

SCENARIOS = [f"s{number:02}" for number in (1, 2, 3, 4, 5, 6, 7, 11, 13)]
#: With another offer left, realtime turns to it within two seconds.
SOON_SECONDS = 2.0 + SLACK_SECONDS
#: Of a provider that is given up, calls for one request: the first, and a retry or two.
FEW = 3


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with short limits, and a Redis of its own."""
    with made(tmp_path_factory.mktemp("faults"), scenarios=SCENARIOS) as running:
        yield running


def check_retried_once(stack: Stack, name: str) -> float:
    """The primary was called twice and the spare not at all; the seconds between the calls."""
    first, second = stack.seen(name)
    assert stack.seen(SPARE) == []
    return float(second["at"] - first["at"])


def check_turned(stack: Stack, name: str, most: int = FEW) -> None:
    """The primary was given up after a few calls, and the spare called once."""
    assert 1 <= len(stack.seen(name)) <= most and len(stack.seen(SPARE)) == 1


@both_ways
def test_s01_a_429_that_says_when_is_waited_for(stack: Stack, account: Account, stream: bool) -> None:
    name = primary("s01", stream)
    with stack.script(fault(name, status=429, retry_after=2, times=1), HEALTHY):
        check_served(account, ask(account, name, stream=stream), name)
        assert 1.9 <= check_retried_once(stack, name) <= 2 + SLACK_SECONDS


@both_ways
@pytest.mark.parametrize(
    ("scenario", "given"),
    [("s02", {"status": 429}), ("s04", {"status": 503})],
    ids=["s02_429_for_ever", "s04_503_for_ever"],
)
def test_what_fails_for_ever_is_turned_from_soon(
    stack: Stack, account: Account, stream: bool, scenario: str, given: dict[str, Any]
) -> None:
    name = primary(scenario, stream)
    with stack.script(fault(name, **given), HEALTHY):
        got = ask(account, name, stream=stream)
        check_served(account, got, SPARE)
        assert got.seconds <= SOON_SECONDS
        check_turned(stack, name)


@both_ways
@pytest.mark.parametrize(
    ("scenario", "given"),
    [("s03", {"status": 500}), ("s05", {"kind": "reset"})],
    ids=["s03_500_once", "s05_reset_once"],
)
def test_what_fails_once_is_tried_once_more(
    stack: Stack, account: Account, stream: bool, scenario: str, given: dict[str, Any]
) -> None:
    name = primary(scenario, stream)
    with stack.script(fault(name, times=1, **given), HEALTHY):
        check_served(account, ask(account, name, stream=stream), name)
        check_retried_once(stack, name)


@both_ways
def test_s06_a_silent_provider_is_turned_from_after_the_first_byte_limit(
    stack: Stack, account: Account, stream: bool
) -> None:
    name = primary("s06", stream)
    with stack.script(fault(name, kind="hang"), HEALTHY):
        got = ask(account, name, stream=stream)
        check_served(account, got, SPARE)
        assert TURN_SECONDS - 0.1 <= got.seconds <= TURN_SECONDS + SLACK_SECONDS
        check_turned(stack, name, most=1)


@both_ways
def test_s07_a_late_first_token_is_the_same(stack: Stack, account: Account, stream: bool) -> None:
    name = primary("s07", stream)
    late = {"kind": "slow_start", "seconds": 20} if stream else {"latency_seconds": 20}
    with stack.script(fault(name, **late), HEALTHY):
        got = ask(account, name, stream=stream)
        check_served(account, got, SPARE)
        assert TURN_SECONDS - 0.1 <= got.seconds <= TURN_SECONDS + SLACK_SECONDS
        check_turned(stack, name, most=1)


@both_ways
def test_s11_a_stream_without_done_is_whole(stack: Stack, account: Account, stream: bool) -> None:
    name = primary("s11", stream)
    with stack.script(fault(name, kind="no_done"), HEALTHY):
        check_served(account, ask(account, name, stream=stream), name)
        assert len(stack.seen(name)) == 1 and stack.seen(SPARE) == []


@both_ways
@pytest.mark.parametrize("model", ["gpt-4", "claude-3-sonnet", "gemini-pro", "deepinfra.deepseek-r1"])
def test_s12_a_prompt_too_long_goes_to_the_larger_window(
    stack: Stack, account: Account, stream: bool, model: str
) -> None:
    """In each provider's own words, of which only OpenAI's have a code."""
    provider = {"gpt-4": "openai", "claude-3-sonnet": "anthropic", "gemini-pro": "google"}.get(model, "deepinfra")
    with stack.script(fault(provider, kind="context_length", window=100), HEALTHY):
        got = ask(account, model, stream=stream, content="a long story, " * 60)
        check_served(account, got, SPARE)
        assert got.seconds <= SLACK_SECONDS
        check_turned(stack, provider, most=1)


@both_ways
def test_s12_when_no_larger_window_is_left_the_caller_is_told(stack: Stack, account: Account, stream: bool) -> None:
    with stack.script(
        fault("openai", kind="context_length", window=100), fault(SPARE, kind="context_length", window=9)
    ):
        got = ask(account, "gpt-4", stream=stream, content="a long story, " * 60)
        assert got.error["reason"] == "context_length_exceeded" and got.text == ""
        assert stream or got.status == 400
        assert (len(stack.seen("openai")), len(stack.seen(SPARE))) == (1, 1)


@both_ways
def test_s13_a_filtered_answer_is_told_and_never_routed_around(stack: Stack, account: Account, stream: bool) -> None:
    name = primary("s13", stream)
    with stack.script({"provider": name, "fault": {"kind": "content_filter"}}, HEALTHY):
        got = ask(account, name, stream=stream)
        assert got.status == 200 and got.error is None and got.finish == "content_filter"
        assert len(stack.seen(name)) == 1 and stack.seen(SPARE) == []


@both_ways
@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation"])
def test_s13_a_filtered_prompt_is_told_and_never_routed_around(
    stack: Stack, account: Account, stream: bool, code: str
) -> None:
    name = primary("s13", stream)
    filtered = {"status": 400, "code": code, "message": "This simulated prompt was filtered by our content policy."}
    with stack.script({"provider": name, "fault": filtered}, HEALTHY):
        got = ask(account, name, stream=stream)
        assert got.text == "" and got.error["reason"] == code and filtered["message"] in got.error["message"]
        assert stream or got.status == 400
        assert len(stack.seen(name)) == 1 and stack.seen(SPARE) == []
