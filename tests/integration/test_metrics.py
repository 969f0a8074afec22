"""/metrics from real rows: every number exact, counted once whatever is repeated, and no hang without a database."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert, update

from producer import metrics
from producer.metrics import Metrics
from producer.metrics.exposition import Exposition
from producer.operations import events as event_ops
from shared import clock
from shared.audit import Action
from shared.db import AmbiguousCommitError, Database
from shared.db import models as m
from shared.environment import inherited
from shared.jobs import pauses
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending, Requeue
from tests import starting
from tests.integration import world
from tests.integration.attempts import NOWHERE
from tests.integration.test_database_away import Failing, run, times
from tests.integration.test_delivering import deliver, open_webhook
from tests.receiver import Answer, Receiver
from workers.maintenance.recovery import lapse_one, take_back
from workers.maintenance.tally import WRITE_SECONDS, SweepTally
from workers.running import lease
from workers.webhooks import claims, client, results

Samples = Mapping[tuple[str, tuple[str, ...]], float]


def parsed(exposition: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    """Samples by name and label values, these in the order of their labels' names."""
    found = {}
    for family in text_string_to_metric_families(exposition.decode()):
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            assert (sample.name, labels) not in found
            found[sample.name.removeprefix("fusionai_"), labels] = sample.value
    return found


def shown(database: Database) -> Samples:
    """What /metrics shows now; in the stricter format too, whose parser checks the histograms."""
    registry = CollectorRegistry()
    registry.register(Exposition(database.read_sync(metrics.read)))
    assert list(openmetrics.text_string_to_metric_families(generate_latest(registry).decode()))
    return parsed(asyncio.run(Metrics(database, NOWHERE).text()))


def counted(samples: Samples) -> Samples:
    """The counters that have counted."""
    return {key: value for key, value in samples.items() if key[0].endswith("_total") and value}


def leased(database: Database, count: int = 1, **more: Any) -> list[Leased]:
    ids = world.queued(database, world.open_account(database), count, **more)
    return world.take(database, world.new_worker(database), ids)


def served(job: Leased, **more: Any) -> Ending:
    used = {"provider": "openai", "model": "gpt-4", "prompt_tokens": 10, "completion_tokens": 3, "charge": 7}
    return world.good_end(job, **{**used, **more})


def test_before_anything_has_happened(database: Database) -> None:
    samples = shown(database)
    assert set(samples.values()) == {0.0}
    queues = {key[1] for key in samples if key[0] == "jobs_queued"}
    assert {("realtime", "openai"), ("batch", "anthropic")} <= queues, "a queue with nothing on it shows 0"
    assert ("credits_charged_total", ()) in samples and ("workers_alive", ()) in samples
    # What alerts ask the increase of: a series that begins at 5 has not increased.
    outcomes = {key for key in samples if key[0] in ("webhook_deliveries_total", "cache_lookups_total")}
    assert {value for _, (value,) in outcomes} == {"delivered", "retried", "failed", "hit", "miss"}
    assert {("jobs_settled_total", (lane, "openai", "failed")) for lane in ("batch", "realtime")} <= set(samples)


def test_every_counter_is_exact(database: Database) -> None:
    one, two, three, four = leased(database, 4, bound=1_500_000)
    tries = [{"provider": "openai", "status_code": 503}] * 3
    world.settle(database, served(one, charge=1_234_567, excess_micros=250_000), served(two, attempts=tries))
    world.settle(database, Ending(three.id, three.epoch, "failed", attempts=tries))
    world.settle(database, Requeue(four.id, four.epoch, "google.batch", 1, 2, 0, tries))
    (waiting,) = world.queued(database, world.open_account(database), type="image")
    world.settle(database, Ending(waiting, 0, "cancelled", came_from="queued", takes=True))
    assert counted(shown(database)) == {
        ("jobs_settled_total", ("batch", "openai", "succeeded")): 2,
        ("jobs_settled_total", ("batch", "openai", "failed")): 1,
        ("jobs_settled_total", ("realtime", "openai", "cancelled")): 1,
        ("job_retries_total", ("openai",)): 4,
        ("tokens_total", ("prompt", "gpt-4", "openai")): 20,
        ("tokens_total", ("completion", "gpt-4", "openai")): 6,
        ("credits_charged_total", ()): 1.234574,
        ("excess_credits_total", ()): 0.25,
    }


def test_the_histogram_adds_up(database: Database) -> None:
    with world.virtual_time():
        ended = leased(database, 3)
        took = []
        for job, seconds in zip(ended, (0, 20, 7200), strict=True):
            clock.shift(seconds * clock.MICROS)
            world.settle(database, served(job, charge=0))
            row = world.row(database, job.id)
            took.append(row["finished_at"] - row["created_at"])
    samples = shown(database)
    buckets = {key[1][1]: value for key, value in samples.items() if key[0] == "job_seconds_bucket"}
    assert buckets["+Inf"] == samples["job_seconds_count", ("batch", "openai")] == 3
    for end, below in buckets.items():
        assert below == sum(micros <= float(end) * clock.MICROS for micros in took), end
    total = samples["job_seconds_sum", ("batch", "openai")]
    assert total == pytest.approx(sum(took) / clock.MICROS, abs=0.0016), "to the millisecond a job"


def test_a_group_settled_again_counts_once_and_a_stale_answer_only_as_stale(database: Database) -> None:
    one, two, three = leased(database, 3, bound=10)
    world.settle(database, served(one), served(two))
    before = shown(database)
    for _ in range(3):
        world.settle(database, served(one), served(two))
    assert shown(database) == before
    world.settle(database, Ending(three.id, three.epoch, "cancelled", takes=True))
    world.settle(database, served(one), served(three))
    after = counted(shown(database))
    assert after["stale_answers_refused_total", ()] == 1
    assert after["jobs_settled_total", ("batch", "openai", "succeeded")] == 2
    assert after["jobs_settled_total", ("batch", "openai", "cancelled")] == 1
    assert after["tokens_total", ("prompt", "gpt-4", "openai")] == 20
    assert after["credits_charged_total", ()] == 0.000014


def test_an_ambiguous_commit_counts_once(database: Database) -> None:
    ids = world.queued(database, world.open_account(database), 3)
    unsure = times(2, "_settle", AmbiguousCommitError())
    run(database, world.new_worker(database), Failing(database, unsure, after=True), ids, 0)
    after = counted(shown(database))
    assert after["jobs_settled_total", ("batch", "openai", "succeeded")] == 3
    assert after["tokens_total", ("completion", "gpt-4", "openai")] == 3
    assert ("stale_answers_refused_total", ()) not in after


def ages(database: Database) -> Samples:
    return {key[1]: value for key, value in shown(database).items() if key[0] == "queue_age_seconds" and value}


def test_the_age_of_a_queue_is_that_of_its_oldest_job_that_wants_a_worker(database: Database) -> None:
    holder = world.open_account(database)
    with world.virtual_time():
        (old,) = world.queued(database, holder)
        clock.shift(100 * clock.MICROS)
        others = world.queued(database, world.open_account(database), 3)
        (image,) = world.queued(database, holder, type="image")
        clock.shift(20 * clock.MICROS)
        assert ages(database) == {
            ("realtime", "openai"): pytest.approx(120, abs=5),
            ("batch", "openai"): pytest.approx(20, abs=5),
        }
        world.take(database, world.new_worker(database), [old])
        assert ages(database)["realtime", "openai"] == pytest.approx(20, abs=5), "what runs waits for nothing"

        def put_off(connection: Any) -> None:
            later = {"run_at": 1, "deferred_for": "429", "woken_at": None}
            connection.execute(update(m.jobs).where(m.jobs.c.id == image).values(later))
            woken = {"woken_at": clock.now_micros()}
            connection.execute(update(m.jobs).where(m.jobs.c.id == others[0]).values(woken))

        database.write_sync(put_off)
        assert ages(database) == {("batch", "openai"): pytest.approx(20, abs=5)}, "woken and not taken; put off is none"


def test_what_is_rolled_back_is_not_counted(database: Database) -> None:
    (job,) = leased(database, bound=10)
    before = shown(database)
    with pytest.raises(ValueError, match="does not fit"):
        world.settle(database, served(job, charge=11))
    assert shown(database) == before


def test_two_processes_add_up(database: Database) -> None:
    held = [f"{job.id}:{job.epoch}" for job in leased(database, 40, bound=10)]
    url = database.engine.url.render_as_string(hide_password=False)
    program = "tests.integration.settling_apart"
    both = [starting.start(program, inherited(), None, url, *held[at::2]) for at in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    after = counted(shown(database))
    assert after["jobs_settled_total", ("batch", "openai", "succeeded")] == 40
    assert after["tokens_total", ("prompt", "gpt-4", "openai")] == 80
    assert after["credits_charged_total", ()] == 0.00028


def test_what_waits_and_what_runs(database: Database) -> None:
    holder = world.open_account(database, 10)
    one, two, three, four = world.queued(database, holder, 4, bound=1_250_000)
    world.change(database, one, woken_at=clock.now_micros())
    world.change(database, two, queue="probation", cohort=1)
    world.take(database, world.new_worker(database), [four])
    world.queued(database, holder, type="image", bound=0)
    gone = world.new_worker(database)
    database.write_sync(lease.resign, gone)
    samples = shown(database)
    waiting = {key[1]: value for key, value in samples.items() if key[0] == "jobs_queued" and value}
    assert waiting == {("batch", "openai"): 2, ("batch", "probation"): 1, ("realtime", "openai"): 1}
    assert {key[1]: value for key, value in samples.items() if key[0] == "jobs_running" and value} == {
        ("batch", "openai"): 1
    }
    assert samples["workers_alive", ()] == 1
    assert (samples["credits_held", ()], samples["credits_available", ()]) == (5, 5)
    assert three in {row["id"] for row in world.rows(database, m.jobs, status="queued")}


def test_a_pause_by_an_operator_is_one(database: Database) -> None:
    """Else what it keeps waiting would wake somebody, and have the autoscaler start workers for it."""
    action = Action("ann", pauses.PAUSED, "their maintenance")
    database.write_sync(pauses.pause, action, "openai")
    assert shown(database)["provider_paused", ("", "openai", "operator")] == 1
    database.write_sync(pauses.resume, action, "openai")
    assert not [key for key in shown(database) if key[0] == "provider_paused"]


def test_sweeps_are_counted_seldom_and_all_of_them(database: Database) -> None:
    tally = SweepTally(database)
    for _ in range(3):
        tally.add()
    assert shown(database)["sweeps_total", ()] == 1
    tally._written -= WRITE_SECONDS
    tally.add()
    assert shown(database)["sweeps_total", ()] == 4


def test_what_is_put_off_after_its_worker_was_lost_is_named_as_it_ever_was(database: Database) -> None:
    holder = world.open_account(database, 10)
    (one,) = world.queued(database, holder, 1)
    world.change(database, one, queue="probation", deferred_for="429", run_at=clock.now_micros() + 60 * clock.MICROS)
    put_off = {key[1]: value for key, value in shown(database).items() if key[0] == "jobs_deferred"}
    assert put_off == {("probation", "", "429"): 1}


def test_a_lease_that_has_run_out_is_not_alive(database: Database) -> None:
    world.new_worker(database)
    assert shown(database)["workers_alive", ()] == 1
    with world.virtual_time():
        clock.shift(3600 * clock.MICROS)
        assert shown(database)["workers_alive", ()] == 0


def test_batches_that_are_not_over(database: Database) -> None:
    holder = world.open_account(database)
    common = {"account_id": holder.account_id, "key_id": holder.key_id, "input_file_id": "file_1"}
    common |= {"completion_window": "24h", "created_at": 1, "expires_at": 2}
    statuses = ["validating", "in_progress", "in_progress", "cancelling", "completed", "failed"]
    rows = [{**common, "id": clock.new_id("batch"), "status": status} for status in statuses]
    database.write_sync(lambda connection: connection.execute(insert(m.batches), rows))
    found = {key[1][0]: value for key, value in shown(database).items() if key[0] == "batches"}
    assert found == {"validating": 1, "in_progress": 2, "finalizing": 0, "cancelling": 1}


def test_jobs_of_a_worker_that_died_are_counted_taken_back(database: Database) -> None:
    worker = world.new_worker(database)
    world.take(database, worker, world.queued(database, world.open_account(database), 3))
    database.write_sync(lapse_one, worker)
    for _ in range(2):
        database.write_sync(take_back)
    after = counted(shown(database))
    assert (after["workers_lapsed_total", ()], after["jobs_taken_back_total", ()]) == (1, 3)


def test_how_late_the_oldest_delivery_is(database: Database, monkeypatch: Any) -> None:
    world.settings_allow_loopback(monkeypatch)
    _, _, deliveries = open_webhook(database, "http://127.0.0.1:9/", 3)
    with world.virtual_time():
        clock.shift(90 * clock.MICROS)
        samples = shown(database)
        assert samples["webhooks_pending", ()] == 3 and 90 <= samples["webhook_lag_seconds", ()] < 120
        assert len(database.write_sync(claims.claim, deliveries)) == 3
        claimed = shown(database)
        assert claimed["webhooks_pending", ()] == 3 and claimed["webhook_lag_seconds", ()] == 0


def test_what_is_sent_anew_is_as_late_as_it_was_asked_for(database: Database, monkeypatch: Any) -> None:
    """Neither /metrics nor verify takes a redelivery of an old event for one that was forgotten since."""
    world.settings_allow_loopback(monkeypatch)
    holder, _, deliveries = open_webhook(database, "http://127.0.0.1:9/", 1)
    for claimed in database.write_sync(claims.claim, deliveries):
        database.write_sync(results.record, [results.result(claimed, client.SendResult(200, b"", 0.1))])
    (event,) = world.rows(database, m.events)
    with world.virtual_time():
        clock.shift(3 * 86_400 * clock.MICROS)
        database.write_sync(event_ops.redeliver_event, holder, event["id"])
        assert shown(database)["webhook_lag_seconds", ()] < 60
        assert world.violations(database) == []


def test_deliveries_by_outcome(database: Database, monkeypatch: Any) -> None:
    world.settings_allow_loopback(monkeypatch)
    with Receiver() as receiver:
        receiver.answer = lambda delivery: Answer(503 if len(receiver.deliveries) <= 2 else 200)
        _, _, deliveries = open_webhook(database, receiver.url, 5)
        deliver(database, deliveries, until=lambda: receiver.wait_for(lambda got: len(got) == 5))
    with Receiver() as gone:
        gone.answer = Answer(410)
        _, _, (one,) = open_webhook(database, gone.url, 1)
        deliver(database, [one], until=lambda: gone.wait_for(lambda got: len(got) == 1))
    found = {key[1][0]: value for key, value in shown(database).items() if key[0] == "webhook_deliveries_total"}
    assert found == {"delivered": 3, "retried": 2, "failed": 1}


@pytest.mark.parametrize(("status", "outcome"), [(200, "delivered"), (500, "retried")])
def test_a_delivery_recorded_again_counts_once(database: Database, monkeypatch: Any, status: int, outcome: str) -> None:
    world.settings_allow_loopback(monkeypatch)
    _, _, deliveries = open_webhook(database, "http://127.0.0.1:9/", 2)
    rows = database.write_sync(claims.claim, deliveries)
    answer = client.SendResult(status, b"", 0.0)
    outcomes = [{**results.result(row, answer), "row": row} for row in rows]
    for _ in range(3):
        database.write_sync(results.record, outcomes)
    assert shown(database)["webhook_deliveries_total", (outcome,)] == 2


def test_a_counter_of_a_bucket_that_is_no_more_still_adds_up(database: Database) -> None:
    (job,) = leased(database)
    world.settle(database, served(job, charge=0))
    old = m.counters.c.labels.contains('"le"')
    renamed = '{"lane":"batch","le":"0.07","provider":"openai"}'
    database.write_sync(lambda c: c.execute(update(m.counters).where(old).values(labels=renamed)).rowcount)
    samples = shown(database)
    assert samples["job_seconds_bucket", ("batch", "0.07", "openai")] == 1
    assert samples["job_seconds_bucket", ("batch", "0.05", "openai")] == 0
    assert samples["job_seconds_count", ("batch", "openai")] == 1
