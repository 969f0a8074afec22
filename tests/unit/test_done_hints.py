"""What is told of jobs that have ended: answers that are waited for, and what an earlier version understands."""

import json
from typing import Any

from shared.jobs import done_hints
from shared.jobs.done_hints import MOST, MOST_IN_ALL, HintedAnswer
from shared.jobs.outcomes import Ending


def ended(id: str, status: Any = "succeeded", *, response: str | None = '{"é":1}', awaited: bool = True) -> Ending:
    return Ending(id, 1, status, response=response, charge_micros=7, awaited=awaited)


def through_json(message: Any) -> Any:
    return json.loads(json.dumps(message))


def test_an_answer_that_is_waited_for_is_told() -> None:
    message = through_json(done_hints.message([ended("job_1"), ended("job_2", awaited=False)]))
    assert list(done_hints.read(message)) == [("job_1", HintedAnswer('{"é":1}', 7)), ("job_2", None)]


def test_others_are_only_named() -> None:
    others = [
        ended("job_1", awaited=False),
        ended("job_2", "failed", response=None),
        ended("job_3", "cancelled"),
        ended("job_4", response="x" * (MOST + 1)),
    ]
    assert done_hints.message(others) == ["job_1", "job_2", "job_3", "job_4"]
    assert done_hints.message([]) == []


def test_a_reader_of_an_earlier_version_finds_the_ids() -> None:
    """It goes through what it hears as a list of ids."""
    assert list(through_json(done_hints.message([ended("job_1"), ended("job_2", awaited=False)]))) == ["job_1", "job_2"]


def test_what_an_earlier_version_sends_is_understood() -> None:
    assert list(done_hints.read(["job_1", "job_2"])) == [("job_1", None), ("job_2", None)]


def test_the_longest_answer_is_still_told() -> None:
    assert list(done_hints.read(done_hints.message([ended("job_1", response="x" * MOST)]))) == [
        ("job_1", HintedAnswer("x" * MOST, 7))
    ]


def test_a_message_has_so_many_answers_as_a_listener_can_keep_up_with() -> None:
    fits = MOST_IN_ALL // MOST
    message = done_hints.message([ended(f"job_{n}", response="x" * MOST) for n in range(400)])
    told = [answer is not None for _, answer in done_hints.read(message)]
    assert told == [True] * fits + [False] * (400 - fits)
