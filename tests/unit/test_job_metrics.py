"""What a group of endings adds to which counters: exact, bounded labels, the same however a group is cut."""

import doctest
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import clock
from shared.db.counters import of
from shared.jobs import metrics
from shared.jobs.outcomes import Ending

NOW = 1_800_000_000 * clock.MICROS


def job(queue: str = "openai.realtime", millis: int = 40, model: str = "gpt-4") -> dict[str, Any]:
    """The columns of a row that has just ended, accepted so long ago."""
    lane = "batch" if queue.endswith("batch") else "realtime"
    return {"queue": queue, "lane": lane, "model": model, "created_at": NOW - millis * 1000, "account_id": "acct_1"}


def good(**more: Any) -> Ending:
    used = {"provider": "openai", "model": "gpt-4", "prompt_tokens": 11, "completion_tokens": 5, "charge_micros": 70}
    return Ending("job_1", 1, "succeeded", **{**used, **more})


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(metrics)
    assert results.attempted and not results.failed


def test_one_success() -> None:
    at = {"provider": "openai", "lane": "realtime"}
    assert metrics.of_endings([(good(excess_micros=3), job())], NOW) == {
        of("jobs_settled", **at, status="succeeded"): 1,
        of("job_seconds", **at, le="0.05"): 1,
        of("job_millis", **at): 40,
        of("tokens", provider="openai", model="gpt-4", kind="prompt"): 11,
        of("tokens", provider="openai", model="gpt-4", kind="completion"): 5,
        of("charged_micros"): 70,
        of("excess_micros"): 3,
    }


def test_a_cached_answer_is_no_providers_and_has_no_tokens() -> None:
    at = {"provider": "cache", "lane": "realtime"}
    assert metrics.of_endings([(good(cached_from="job_0"), job(millis=3))], NOW) == {
        of("jobs_settled", **at, status="succeeded"): 1,
        of("job_seconds", **at, le="0.05"): 1,
        of("job_millis", **at): 3,
        of("charged_micros"): 70,
        of("excess_micros"): 0,
    }


def test_retries_are_the_attempts_beyond_the_first_by_the_provider_of_each() -> None:
    attempts = [{"provider": name} for name in ("openai", "openai", None, "google")]
    added = metrics.of_endings([(good(provider="google", attempts=attempts), job("google.realtime"))], NOW)
    assert added[of("job_retries", provider="openai")] == 1
    assert added[of("job_retries", provider="google")] == 2, "one lost its worker before it had called anybody"
    once = metrics.of_endings([(good(attempts=attempts[:1]), job())], NOW)
    assert not [name for name, _ in once if name == "job_retries"]


@pytest.mark.parametrize(
    ("served_by", "queue", "label"),
    [
        ("sandbox", "openai.realtime", "sandbox"),
        (None, "openai.realtime", "openai"),
        (None, "my.own.provider.batch", "my.own.provider"),
        (None, "probation", "probation"),
        ("google", "probation", "google"),
    ],
)
def test_a_job_that_was_never_served_is_its_queues(served_by: str | None, queue: str, label: str) -> None:
    assert metrics.provider_label(served_by, queue) == label


@pytest.mark.parametrize(
    ("micros", "le"),
    [(0, "0.05"), (50_000, "0.05"), (50_001, "0.1"), (1_000_000, "1.0"), (3_600_000_001, "14400.0"),
     (604_800_000_000, "604800.0"), (604_800_000_001, "inf")],
)  # fmt: skip
def test_the_end_of_a_bucket_belongs_to_it(micros: int, le: str) -> None:
    assert metrics.bucket(micros) == le


@given(st.integers(0, 10**12))
def test_a_bucket_is_the_narrowest_that_holds_it(micros: int) -> None:
    end, fits = float(metrics.bucket(micros)), [end for end in metrics.BUCKETS if micros <= end * 10**6]
    assert end == min(fits)


def test_a_clock_that_went_backwards_took_no_time() -> None:
    added = metrics.of_endings([(good(), job(millis=-5000))], NOW)
    assert added[of("job_seconds", provider="openai", lane="realtime", le="0.05")] == 1
    assert added[of("job_millis", provider="openai", lane="realtime")] == 0


ENDED = st.tuples(
    st.builds(
        good,
        provider=st.sampled_from(["openai", "google", None]),
        charge_micros=st.integers(0, 10**9),
        prompt_tokens=st.integers(0, 10**6),
        attempts=st.lists(st.fixed_dictionaries({"provider": st.sampled_from(["openai", None])}), max_size=4),
    ),
    st.builds(job, queue=st.sampled_from(["openai.batch", "google.realtime"]), millis=st.integers(-10, 10**9)),
)


@given(st.lists(ENDED, max_size=8), st.lists(ENDED, max_size=8))
def test_two_groups_add_up_to_one(one: list[Any], other: list[Any]) -> None:
    apart = Counter(metrics.of_endings(one, NOW))
    apart.update(metrics.of_endings(other, NOW))
    assert dict(apart) == metrics.of_endings(one + other, NOW)


@given(st.lists(ENDED, max_size=8))
def test_no_account_and_no_job_is_a_label(ended: list[Any]) -> None:
    shown = str(metrics.of_endings(ended, NOW))
    assert "acct_" not in shown and "job_1" not in shown
