"""/metrics of a running stack, from its first job: the numbers move, and are what the jobs API says."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.stack import CREDIT, Account, Stack, chat, embedding, image, own_stack
from tests.conditions import await_condition
from tests.receiver import Receiver

Labels = tuple[tuple[str, str], ...]
Samples = Mapping[tuple[str, Labels], float]


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that has done nothing yet, and that nobody else uses."""
    with own_stack(tmp_path_factory.mktemp("metrics")) as running:
        yield running


@pytest.fixture
def customer(fresh: Stack) -> Iterator[Account]:
    """A customer of it."""
    made = fresh.account()
    yield made
    made.close()


def metrics(stack: Stack) -> Samples:
    """The samples by name and labels."""
    answer = httpx.get(stack.url + "/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def of(samples: Samples, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Those of one name that are not 0, by the values of these labels."""
    found = {at: value for (known, at), value in samples.items() if known == f"fusionai_{name}" and value}
    return {tuple(dict(at)[label] for label in labels): value for at, value in found.items()}


def said(jobs: list[dict[str, Any]], lanes: Mapping[str, str]) -> dict[str, Any]:
    """What the jobs, as the API shows them, should have added to the counters."""
    settled, tokens, retries = Counter[Any](), Counter[Any](), Counter[Any]()
    micros = 0
    for job in jobs:
        provider = (job["served_by"] or {}).get("provider") or "openai"
        settled[provider, lanes[job["id"]], job["status"]] += 1
        usage = job["usage"]
        micros += round(usage["credits_used"] * CREDIT)
        for kind in ("prompt", "completion"):
            if count := usage.get(f"{kind}_tokens", 0):
                tokens[provider, job["served_by"]["model"], kind] += count
        retries.update((attempt["provider"],) for attempt in job["attempts"][1:])
    return {"settled": settled, "tokens": tokens, "retries": retries, "credits": micros / CREDIT}


def counted(samples: Samples) -> dict[str, Any]:
    """The same of the counters."""
    return {
        "settled": of(samples, "jobs_settled_total", "provider", "lane", "status"),
        "tokens": of(samples, "tokens_total", "provider", "model", "kind"),
        "retries": of(samples, "job_retries_total", "provider"),
        "credits": of(samples, "credits_charged_total").get((), 0.0),
    }


def test_it_needs_no_key_and_says_what_it_is(stack: Stack) -> None:
    answer = httpx.get(stack.url + "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE fusionai_job_seconds histogram" in answer.text and "x-request-id" in answer.headers
    assert httpx.get(stack.url + "/v1/metrics").status_code == 404
    assert httpx.post(stack.url + "/metrics").status_code == 405


def test_the_numbers_are_what_the_jobs_api_says(fresh: Stack, customer: Account) -> None:
    lanes: dict[str, str] = {}
    with Receiver() as receiver:
        customer.live.post("/webhooks", json={"url": receiver.url}).raise_for_status()
        faults = (
            {"contains": "flaky", "times": 2, "fault": {"status": 503}},
            {"contains": "wrong", "fault": {"status": 400}},
            {"provider": "openai", "contains": "elsewhere", "fault": {"status": 500}},
        )
        with fresh.script(*faults):
            singly = [chat(), chat("flaky"), chat("wrong"), embedding(), image()]
            singly.append(chat("elsewhere", routing={"fallbacks": ["claude-3-sonnet"]}))
            lanes.update((customer.submit(body)["id"], "realtime") for body in singly)
            listed = customer.live.post("/jobs", json={"jobs": [chat(f"number {n}") for n in range(30)]}).json()
            lanes.update((job["id"], "batch") for job in listed["data"])
            jobs = [customer.finished(id) for id in lanes]
        receiver.wait_for(lambda got: len(got) == len(jobs))
        expected = said(jobs, lanes)
        await_condition(lambda: counted(metrics(fresh)) == expected, what=f"{expected}")
        delivered = {("delivered",): float(len(jobs))}
        await_condition(lambda: of(metrics(fresh), "webhook_deliveries_total", "outcome") == delivered)
    assert expected["retries"] and len(expected["settled"]) == 4
    quiet(fresh, customer, len(jobs))


def quiet(stack: Stack, account: Account, ended: int) -> None:
    """Nothing waits, runs or is held any more; the histogram has every job, and took at least no time."""
    samples = metrics(stack)
    assert not of(samples, "jobs_queued", "provider", "lane") and not of(samples, "jobs_running", "provider", "lane")
    assert of(samples, "workers_alive") == {(): 1} and not of(samples, "webhooks_pending")
    assert not of(samples, "credits_held") and not of(samples, "stale_answers_refused_total")
    assert of(samples, "credits_available") == {(): account.live.get("/credits").json()["available"]}
    assert sum(of(samples, "job_seconds_count", "provider", "lane").values()) == ended
    ends = of(samples, "job_seconds_bucket", "provider", "lane", "le")
    for (provider, lane), seconds in of(samples, "job_seconds_sum", "provider", "lane").items():
        assert 0 < seconds < 600 and math.isfinite(seconds)
        assert ends[provider, lane, "+Inf"] == ends[provider, lane, "604800.0"]


def test_jobs_that_wait_and_run_are_seen_while_they_do(fresh: Stack, customer: Account) -> None:
    with fresh.script({"contains": "tomorrow", "fault": {"status": 429, "retry_after": 600}}):
        held = customer.submit(chat("tomorrow"))["id"]
        await_condition(lambda: customer.live.get(f"/jobs/{held}").json()["attempts"])
        await_condition(lambda: of(metrics(fresh), "jobs_queued", "provider", "lane") == {("openai", "realtime"): 1})
    credits = customer.live.get("/credits").json()
    assert of(metrics(fresh), "credits_held") == {(): credits["held"]}
    with fresh.script({"contains": "slow", "fault": {"latency_seconds": 60}}):
        slow = customer.submit(embedding(input="slow"))["id"]
        await_condition(lambda: of(metrics(fresh), "jobs_running", "provider", "lane") == {("openai", "realtime"): 1})
        for id in (held, slow):
            customer.live.post(f"/jobs/{id}/cancel").raise_for_status()
            assert customer.finished(id)["status"] == "cancelled"
    await_condition(lambda: counted(metrics(fresh))["settled"].get(("openai", "realtime", "cancelled")) == 2)
    assert not of(metrics(fresh), "jobs_queued", "provider", "lane")
    assert not of(metrics(fresh), "jobs_running", "provider", "lane")
