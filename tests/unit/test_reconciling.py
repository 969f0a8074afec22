"""An export beside the ledger's calls: what matches, what drifts, what is nobody's; and the calls of a job's rows."""

import doctest
import json
from typing import Any

import pytest

from producer.reconcile import comparing, exported, ledger_calls
from producer.reconcile.comparing import Comparison, Group, Reconciler
from producer.reconcile.exported import ExportError, ExportRow
from producer.reconcile.ledger_calls import LedgerCall, of_job
from shared.submissions.catalogue import catalogue

DAY, NEXT = "2026-11-29", "2026-11-30"
COUNTS = {"calls": 1, "input": 10, "output": 5}


def row(id: str | None = None, *, day: str = DAY, model: str = "gpt-6-sol", **counts: int) -> ExportRow:
    return ExportRow("line", day, model, {**COUNTS, **counts}, request_id=id, provider="openai")


def call(*ids: str, day: str = DAY, state: Any = "charged", **more: Any) -> LedgerCall:
    counts = {**COUNTS, "cached": 0, "write_5m": 0, "write_1h": 0} if state == "charged" else None
    return LedgerCall("job_1", "openai", "gpt-6-sol", day, state, ids, **{"counts": counts, "micros": 7, **more})


def compared(rows: list[ExportRow], calls: list[LedgerCall], **days: str) -> Comparison:
    with Reconciler(**days) as reconciler:
        reconciler.take(rows)
        reconciler.check(calls)
        return reconciler.result({"gpt-6-sol"})


def only(result: Comparison) -> Group:
    (group,) = result.groups
    return group


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (comparing, exported):
        results = doctest.testmod(module)
        assert results.attempted and not results.failed


def test_calls_are_matched_by_their_ids() -> None:
    result = compared([row("a"), row("b")], [call("b"), call("a")])
    assert result.is_exact(0) and only(result).ours["calls"] == 2 and only(result).charged_micros == 14


def test_a_call_of_several_requests_is_their_sum() -> None:
    result = compared([row("a"), row("b", input=0, output=0)], [call("a", "b")])
    assert result.is_exact(0) and only(result).theirs["calls"] == 1


def test_around_midnight_a_call_counts_on_the_provider_s_day() -> None:
    result = compared([row("a", day=NEXT), row("b")], [call("a"), call("b")])
    assert result.is_exact(0) and [group.day for group in result.groups] == [DAY, NEXT]
    assert not compared([row("b")], [call("b"), call("a", day=NEXT)]).missing, "another day's is not looked for"


def test_other_tokens_are_a_drift() -> None:
    result = compared([row("a", output=6)], [call("a")])
    assert only(result).drift == {"output": 1} and not result.is_exact(0) and result.is_exact(0.2)


def test_what_is_nobody_s_is_explained_by_as_many_lost_calls() -> None:
    lost = call(state="unknown")
    assert compared([row("a"), row("b")], [call("a"), lost]).is_exact(0)
    result = compared([row("a"), row("b"), row("c")], [call("a"), lost])
    assert (result.unexplained, result.is_exact(0)) == (1, False)
    assert [one["request_id"] for one in result.repeated] == ["b", "c"] and result.repeated[0]["tokens"] == 15


def test_a_charge_that_the_provider_does_not_count_is_named() -> None:
    result = compared([row("a")], [call("a"), call("b")])
    assert result.uncounted == 1 and result.missing[0]["request_id"] == "b" and not result.is_exact(0)


def test_answers_of_no_use_are_paid_for_and_charged_to_nobody() -> None:
    result = compared([row("a"), row("b")], [call("a", state="uncharged"), call("b")])
    assert result.is_exact(0) and result.calls("uncharged") == 1


def test_calls_of_earlier_versions_are_compared_by_number() -> None:
    rows = [row("a"), row("b")]
    assert compared(rows, [call("a"), call()]).is_exact(0)
    assert compared(rows, [call("a"), call(), call()]).uncounted == 1


def test_without_ids_days_and_models_are_compared() -> None:
    result = compared([row(calls=3, input=30, output=15)], [call("a"), call("b"), call()])
    assert result.is_exact(0) and not result.by_request_id
    assert only(compared([row(calls=3, input=30, output=15)], [call(), call()])).drift == {
        "calls": 1,
        "input": 10,
        "output": 5,
    }
    whole = compared([row(calls=2, input=20, output=10, model="")], [call(), call()])
    assert whole.is_exact(0) and only(whole).model == "", "a report that is not grouped by model"


def test_a_snapshot_is_counted_with_its_model() -> None:
    result = compared([row("a", model="gpt-6-sol-2026-03-01"), row("b")], [call("a"), call("b")])
    assert only(result).model == "gpt-6-sol" and result.is_exact(0)


def test_days_that_were_not_asked_for_are_left_out() -> None:
    result = compared([row("a"), row("b", day=NEXT)], [call("a"), call("c", day=NEXT)], last_day=DAY)
    assert result.is_exact(0) and only(result).day == DAY


def test_a_call_that_is_named_twice_is_an_error() -> None:
    with pytest.raises(ExportError, match="line: request id a is in the file twice"):
        compared([row("a"), row("a")], [])


def job(attempts: list[dict[str, Any]], **given: Any) -> dict[str, Any]:
    """A job's row as `ledger_calls` reads it."""
    offers = [{"provider": "openai", "model": "gpt-4", "upstream": "gpt-6-sol"}]
    usual = {
        **{"id": "job_1", "type": "chat.completion", "offers": json.dumps(offers), "steps": []},
        **{"attempts": json.dumps(attempts), "attempts_before": None, "cached_from": None, "error": None},
        **{"provider": "openai", "model": "gpt-4", "prompt_tokens": 100, "completion_tokens": 20, "images": 0},
        **{"cached_tokens": 50, "cache_creation_tokens": 30, "cache_creation_1h_tokens": 10},
        **{"charged_micros": 9, "estimated": False},
    }
    return {**usual, **given}


def attempt(**given: Any) -> dict[str, Any]:
    made = {"provider": "openai", "model": "gpt-4", "started_at": 1_795_910_400, "finished_at": 1_795_910_401}
    return {**made, "status_code": 200, "error": None, **given}


def test_the_calls_of_a_job() -> None:
    refused = attempt(status_code=503, error="overloaded")
    lost = attempt(provider=None, status_code=None, error="worker_lost")
    spoilt = attempt(error="protocol", request_ids=["req_1"])
    made = list(of_job(job([refused, lost, spoilt, attempt(request_ids=["req_2"])]), catalogue()))
    assert [(one.state, list(one.request_ids)) for one in made] == [
        ("unknown", []),
        ("uncharged", ["req_1"]),
        ("charged", ["req_2"]),
    ]
    assert {(one.provider, one.upstream, one.day) for one in made} == {("openai", "gpt-6-sol", DAY)}
    assert made[-1].counts == {"calls": 1, "input": 20, "cached": 50, "write_5m": 20, "write_1h": 10, "output": 20}
    assert made[-1].micros == 9


def test_the_calls_of_a_job_that_has_not_ended_of_a_picture_and_of_a_hit() -> None:
    nothing = dict.fromkeys(("attempts", "provider", "model", "charged_micros"))
    waiting = job([]) | nothing | {"attempts_before": json.dumps([attempt(error="idle", status_code=None)])}
    assert [one.state for one in of_job(waiting, catalogue())] == ["unknown"]
    (drawn,) = of_job(job([attempt()], type="image", images=2), catalogue())
    assert drawn.counts == {"calls": 1, "images": 2}
    assert list(of_job(job([], cached_from="job_0"), catalogue())) == []


def test_each_step_of_a_job_of_several_calls_is_a_call() -> None:
    used = {"prompt_tokens": 8, "completion_tokens": 2}
    steps = [
        {"step": name, "provider": "openai", "model": "gpt-4", "used": json.dumps(used), "estimated": False}
        for name in ("ask", "answer")
    ]
    attempts = [attempt(step=name, request_ids=[name]) for name in ("ask", "answer")]
    made = list(of_job(job(attempts, steps=steps), catalogue()))
    assert [(one.state, list(one.request_ids), one.micros) for one in made] == [
        ("charged", ["ask"], 0),
        ("charged", ["answer"], 9),
    ]
    assert all(one.counts is not None and one.counts["input"] == 8 for one in made)


def test_upstreams_come_from_the_catalogue_where_the_offers_are_gone() -> None:
    (made,) = of_job(job([attempt()], offers=None), catalogue())
    assert (
        made.upstream
        == catalogue().models["gpt-4"].upstream
        == ledger_calls._upstreams(job([], offers=None), catalogue())[("openai", "gpt-4")]
    )


def test_a_cost_above_what_was_charged_is_a_drift_unless_calls_that_nobody_paid_explain_it() -> None:
    group = Group("2026-11-29", "gpt-6-sol", cost_nanos=2_000_000, charged_micros=1_000)
    assert group.loss_nanos(0.0) == 1_000_000 and group.exceeds(0.0)
    assert not Group("2026-11-29", "m", cost_nanos=1_000_000, charged_micros=1_000).exceeds(0.0)
    assert not Group("2026-11-29", "m", cost_nanos=1_004_000, charged_micros=1_000).exceeds(0.005)
    group.unknown["calls"] = 1
    assert group.loss_nanos(0.0) == 0
