"""Sixteen faults of a provider: S08, S09, S10 and S14, inside an answer that has begun. Streamed, it is held back."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.faults import (
    HEALTHY,
    IDLE_SECONDS,
    SLACK_SECONDS,
    SPARE,
    WORDS,
    ask,
    both_ways,
    check_served,
    fault,
    made,
    primary,
)
from tests.acceptance.stack import Account, Stack

SCENARIOS = ["s08", "s09", "s10", "s14", "open"]
AFTER_TOKENS = 40
#: An answer that has begun is called for at that provider once more at most.
MOST_CALLS = 2
#: A provider that takes no answer that has been begun by another.
NO_PREFILL = {"status": 400, "message": "This model does not support assistant message prefill."}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with short limits, and a Redis of its own."""
    with made(tmp_path_factory.mktemp("midway"), scenarios=SCENARIOS) as running:
        yield running


def check_saved(stack: Stack, account: Account, name: str, stream: bool, *, within: float, **wrong: Any) -> None:
    """What breaks off at the primary, each time, is served whole by the spare."""
    held = {"hold_stream": True} if stream else {}
    refuses = {"provider": SPARE, "contains": '"role":"assistant"', "fault": NO_PREFILL}
    with stack.script(fault(name, tokens=AFTER_TOKENS, **wrong), refuses, HEALTHY):
        got = ask(account, name, stream=stream, **held)
        check_served(account, got, SPARE)
        assert got.seconds <= within + SLACK_SECONDS
        assert 1 <= len(stack.seen(name)) <= MOST_CALLS and len(stack.seen(SPARE)) == 1


@both_ways
def test_s08_an_answer_that_is_cut_is_whole_all_the_same(stack: Stack, account: Account, stream: bool) -> None:
    check_saved(stack, account, primary("s08", stream), stream, within=2, kind="reset_mid_body")


@both_ways
def test_s09_an_answer_that_stalls_is_whole_all_the_same(stack: Stack, account: Account, stream: bool) -> None:
    wrong = {"kind": "stall", "seconds": 30}
    check_saved(stack, account, primary("s09", stream), stream, within=MOST_CALLS * IDLE_SECONDS + 1, **wrong)


@both_ways
def test_s10_a_malformed_event_is_no_part_of_what_is_served(stack: Stack, account: Account, stream: bool) -> None:
    check_saved(stack, account, primary("s10", stream), stream, within=2, kind="malformed_json")


@both_ways
def test_s14_what_was_cut_is_never_joined_with_anothers_answer(stack: Stack, account: Account, stream: bool) -> None:
    check_saved(
        stack,
        account,
        primary("s14", stream),
        stream,
        within=2,
        kind="truncated_stream" if stream else "reset_mid_body",
    )


@pytest.mark.parametrize("kind", ["reset_mid_body", "truncated_stream", "malformed_json", "error_mid_stream", "stall"])
def test_a_stream_that_is_not_held_back_ends_with_an_error_and_nothing_of_another(
    stack: Stack, account: Account, kind: str
) -> None:
    name = primary("open", True)
    with stack.script(fault(name, tokens=AFTER_TOKENS, kind=kind), HEALTHY):
        got = ask(account, name, stream=True)
        # What breaks off at once may be told before the answer is begun, by its status.
        told = got.status == 502 and got.text == ""
        assert got.error is not None and (told or got.error["job_id"] == got.job_id)
        assert told or (got.text.count("Simulated") == 1 and not got.text.endswith(f" {WORDS}"))
        assert got.seconds <= IDLE_SECONDS + SLACK_SECONDS
        assert len(stack.seen(name)) == 1 and stack.seen(SPARE) == []
