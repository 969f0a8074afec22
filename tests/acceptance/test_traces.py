"""Traces over real HTTP: one from a caller's request over queue and provider to the webhook; nothing said in them."""

import secrets
from collections.abc import Iterator, Sequence

import pytest

from tests.acceptance.stack import Account, Stack, chat, own_stack
from tests.collector import Collector, Seen
from tests.conditions import await_condition
from tests.receiver import Answer, Receiver

SECRET = "the-crown-jewels"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    """A stack whose processes trace."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with own_stack(tmp_path_factory.mktemp("traced"), environment=environment) as running:
        yield running


@pytest.fixture
def customer(traced: Stack) -> Iterator[Account]:
    made = traced.account()
    yield made
    made.close()


def caller() -> tuple[str, str, dict[str, str]]:
    """A trace that a caller has begun: its id, that of the span in it, and the header that tells both."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, {"traceparent": f"00-{trace}-{span}-01"}


def kinds(spans: Sequence[Seen]) -> list[str]:
    return sorted(one.kind for one in spans)


def one_of(spans: Sequence[Seen], kind: str, service: str) -> Seen:
    (found,) = [one for one in spans if (one.kind, one.service) == (kind, service)]
    return found


def ask(customer: Account, headers: dict[str, str], **changes: object) -> str:
    """A chat that is waited for; the id of its job."""
    body = {name: value for name, value in chat(SECRET, **changes).items() if name != "type"}
    answer = customer.live.post("/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["fusionai-job-id"]


def test_one_trace_from_the_request_to_the_webhook(customer: Account, collector: Collector) -> None:
    with Receiver() as receiver:
        receiver.answer = lambda _: Answer(500 if len(receiver.deliveries) < 2 else 200)
        customer.live.post("/webhooks", json={"url": f"{receiver.url}/{SECRET}?key={SECRET}"}).raise_for_status()
        trace, above, headers = caller()
        id = ask(customer, headers)
        spans = collector.of_trace(trace, lambda found: len(found) == 6)
    assert kinds(spans) == ["client", "client", "client", "consumer", "producer", "server"]
    request = one_of(spans, "server", "fusionai-web")
    assert (request.name, request.parent) == ("POST /v1/chat/completions", above)
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["fusionai.job.id"] == id
    sent = one_of(spans, "producer", "fusionai-web")
    assert (sent.name, sent.parent) == ("send openai.realtime", request.id)
    run = one_of(spans, "consumer", "fusionai-worker")
    assert (run.name, run.parent) == ("process openai.realtime", sent.id)
    assert run.attributes["messaging.message.id"] == id
    (call,) = [one for one in spans if one.kind == "client" and one.name != "POST"]
    assert (call.name, call.parent) == (f"chat {call.attributes['gen_ai.request.model']}", run.id)
    assert call.attributes["gen_ai.provider.name"] == "openai"
    assert call.attributes["gen_ai.operation.name"] == "chat"
    assert call.attributes["gen_ai.usage.input_tokens"] > 0
    assert call.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    first, second = [one for one in spans if one.name == "POST"]
    assert first.parent == second.parent == sent.id
    assert (first.attributes["error.type"], first.failed, second.failed) == ("500", True, False)
    assert second.attributes["server.address"] == "127.0.0.1"


def test_each_call_of_a_provider_is_a_span_and_a_failed_one_says_why(
    customer: Account, traced: Stack, collector: Collector
) -> None:
    trace, _, headers = caller()
    with traced.script({"contains": SECRET, "fault": {"status": 500}, "times": 1}):
        ask(customer, headers)
        spans = collector.of_trace(trace, lambda found: len(found) == 5)
    failed, good = [one for one in spans if one.kind == "client"]
    assert (failed.failed, failed.attributes["http.response.status_code"]) == (True, 500)
    assert not good.failed and failed.parent == good.parent


def test_jobs_of_a_list_go_on_from_one_span(customer: Account, collector: Collector) -> None:
    trace, _, headers = caller()
    answer = customer.live.post("/jobs", json={"jobs": [chat(), chat()]}, headers=headers)
    assert answer.status_code == 202
    spans = collector.of_trace(trace, lambda found: len(found) == 6)
    sent = one_of(spans, "producer", "fusionai-web")
    assert sent.attributes["messaging.batch.message_count"] == 2
    assert [one.parent for one in spans if one.kind == "consumer"] == [sent.id, sent.id]


@pytest.mark.parametrize("header", ["", "00-0-0-00", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "é"])
def test_a_header_that_tells_no_trace_begins_one(header: str, customer: Account, collector: Collector) -> None:
    id = ask(customer, {"traceparent": header.encode("latin-1")} if header else {})  # type: ignore[dict-item]

    def of_job(spans: Sequence[Seen]) -> list[Seen]:
        return [one for one in spans if id in one.attributes.values()]

    def whole() -> list[Seen]:
        traces = {one.trace for one in of_job(collector.spans())}
        return [one for one in collector.spans() if one.trace in traces]

    spans = await_condition(lambda: found if len(found := whole()) >= 4 else [], what="its spans")
    assert len({one.trace for one in spans}) == 1
    assert one_of(spans, "server", "fusionai-web").parent == ""


def test_a_caller_who_does_not_trace_is_not_traced(customer: Account, collector: Collector) -> None:
    trace, _, headers = caller()
    ask(customer, {"traceparent": headers["traceparent"].removesuffix("01") + "00"})
    other, _, headers = caller()
    ask(customer, headers)
    collector.of_trace(other, lambda found: len(found) == 4)
    assert [one for one in collector.spans() if one.trace == trace] == []


def test_spans_say_nothing_that_was_said_nor_any_secret(customer: Account, collector: Collector) -> None:
    trace, _, headers = caller()
    ask(customer, headers)
    collector.of_trace(trace, lambda found: len(found) == 4)
    assert SECRET.encode() not in collector.raw
    assert b"fusionai_live" not in collector.raw


def test_a_collector_that_is_away_costs_nothing(customer: Account, collector: Collector) -> None:
    collector.answer = Answer(503)
    try:
        ask(customer, caller()[2])
    finally:
        collector.answer = Answer()
    trace, _, headers = caller()
    ask(customer, headers)
    collector.of_trace(trace, lambda found: len(found) == 4)
