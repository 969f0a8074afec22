"""Telemetry: off, it is nothing at all; on, spans carry their parents, their failures, and content only when asked."""

import asyncio
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from producer.stack import stack
from producer.web.traced import Traced
from shared import clock, logs, telemetry
from shared.settings import Wrong
from shared.telemetry import content, names, spans
from workers.webhooks import traced as deliveries

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """What has been exported, with traces on."""
    exporter = InMemorySpanExporter()
    telemetry.start("test", exporter)
    yield exporter
    telemetry.stop()


def test_off_nothing_is_imported_or_made() -> None:
    """The client of Redis imports what there is of OpenTelemetry for metrics of its own; none of it is ours."""
    ours = ("shared.telemetry.sdk", "opentelemetry.sdk.trace", "opentelemetry.exporter.otlp")
    code = f"import sys, producer.app, workers.app; print([name for name in {ours} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert not telemetry.on()
    with telemetry.span("x", "server", parent=PARENT, a=1) as span:
        assert span is telemetry.NOTHING
        span.set(b=2)
        span.fail("x")
        assert span.traceparent is None


def test_without_a_variable_it_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in spans.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    telemetry.start("test")
    assert not telemetry.on()


def test_without_the_packages_the_process_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "shared.telemetry.sdk", None)
    monkeypatch.delattr("shared.telemetry.sdk", raising=False)  # another file of this session may have imported it
    with pytest.raises(Wrong, match=r"pip install 'fusionai\[otel\]'"):
        telemetry.start("test")


def test_a_span_goes_on_from_its_parent_and_its_children_from_it(exported: InMemorySpanExporter) -> None:
    with telemetry.span("outer", "consumer", parent=PARENT, root=True) as outer:
        assert outer.traceparent is not None and outer.traceparent[:36] == PARENT[:36]
        with telemetry.span("inner", "client"):
            pass
    inner, above = exported.get_finished_spans()
    assert inner.parent is not None and above.context is not None
    assert inner.parent.span_id == above.context.span_id
    assert f"{above.parent.span_id:016x}" == PARENT[36:52] if above.parent else False


@pytest.mark.parametrize("parent", ["", None, "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_what_is_no_parent_begins_a_trace(parent: str | None, exported: InMemorySpanExporter) -> None:
    with telemetry.span("outer", "server"), telemetry.span("x", "server", parent=parent, root=True):
        pass
    first, _ = exported.get_finished_spans()
    assert first.parent is None


def test_a_sdk_that_is_disabled_has_nothing_for_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    telemetry.start("test", InMemorySpanExporter())
    try:
        with telemetry.span("x", "server", parent=PARENT) as span, telemetry.span("y", "producer") as inner:
            assert inner.traceparent == span.traceparent
            span.set(a=1)
        with telemetry.span("z", "producer", root=True) as alone:
            assert alone.traceparent is None
    finally:
        telemetry.stop()


def test_an_exception_is_noted_by_its_name_alone(exported: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError), telemetry.span("x", "client"):
        raise ValueError("a secret")
    (span,) = exported.get_finished_spans()
    assert span.attributes == {"error.type": "ValueError"}
    assert not span.status.is_ok and span.status.description is None and not span.events


@pytest.mark.parametrize("asked", ["", "false", "no_content", "event_only"])
def test_content_is_kept_out(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(content.VARIABLE, asked)
    content.wanted.cache_clear()
    assert content.asked({"messages": [{"role": "user", "content": "hello"}]}) == {}
    assert content.answered({"choices": [{"message": {"content": "hi"}}]}) == {}


@pytest.mark.parametrize("asked", ["true", "SPAN_ONLY", "span_and_event"])
def test_content_is_there_when_asked_for(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(content.VARIABLE, asked)
    content.wanted.cache_clear()
    assert "hello" in content.asked({"messages": [{"role": "user", "content": "hello"}]})["gen_ai__input__messages"]
    assert "hi" in content.answered({"choices": [{"message": {"content": "hi"}}]})["gen_ai__output__messages"]
    assert len(content.asked({"input": "x" * 100_000})["gen_ai__input__messages"]) == spans.MOST_LETTERS


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    yield
    content.wanted.cache_clear()


def test_the_parameters_of_a_call_have_the_names_of_the_conventions() -> None:
    found = names.call("chat.completion", "google", "gemini-4", {"max_tokens": 5, "top_p": 0.5, "messages": ["x"]})
    assert found == {
        "gen_ai__operation__name": "chat",
        "gen_ai__provider__name": "gcp.gemini",
        "gen_ai__request__model": "gemini-4",
        "gen_ai__request__max_tokens": 5,
        "gen_ai__request__top_p": 0.5,
    }


HOSTILE: dict[str, Any] = {
    "seed": 10**30,
    "model": "\ud800",
    "id": {"a": 1},
    "long": "x" * 100_000,
    "least": -(2**63),
    "few": ["\udfff", 1],
}


def test_what_others_sent_fits_in_a_span_and_is_in_no_log(
    exported: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    with telemetry.span("x", "client", **HOSTILE):
        pass
    (span,) = exported.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["seed"] == "1" + "0" * 30 and "id" not in span.attributes
    assert len(str(span.attributes["long"])) == spans.MOST_LETTERS
    assert encode_spans([span]).SerializeToString() and not caplog.text


def test_attributes_that_cannot_be_made_are_none_and_no_exception(
    exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(content.VARIABLE, "true")
    content.wanted.cache_clear()
    with telemetry.span("x", "client", a=1) as span:
        span.tell(lambda: content.asked({"messages": [{"secret": 10**30}]}))
        span.tell(lambda: names.answer({"choices": ["secret"]}, 1, 2))
        span.tell(lambda: {"b": 2})
    (seen,) = exported.get_finished_spans()
    assert seen.attributes == {"a": 1, "b": 2} and seen.status.is_ok
    assert caplog.text.count("lacks attributes") == 2 and "secret" not in caplog.text


@pytest.mark.parametrize(("told", "shown"), [("rate_limit_error", "rate_limit_error"), ("my prompt was", "_OTHER")])
def test_a_failure_is_a_word_and_no_text_of_a_provider(told: str, shown: str, exported: InMemorySpanExporter) -> None:
    with telemetry.span("x", "client") as span:
        span.fail(told)
    (seen,) = exported.get_finished_spans()
    assert seen.attributes == {"error.type": shown}


def asked(path: str, route: Any = None, method: str = "GET", headers: Any = ()) -> None:
    """A request that the middleware sees, and its answer."""

    async def app(scope: Any, _: Any, send: Any) -> None:
        if route is not None:
            scope["route"] = route
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def nothing(*_: Any) -> Any:
        return None

    scope = {"type": "http", "path": path, "method": method, "scheme": "http", "headers": list(headers)}
    asyncio.run(Traced(app)(scope, nothing, nothing))


class Declared:
    path = "/v1/jobs/{id}"


def test_a_route_is_as_it_is_declared_whatever_stands_in_the_path(exported: InMemorySpanExporter) -> None:
    asked("/v1/jobs/v1", Declared)
    asked("/v1/a-secret")
    asked("/v1/jobs/x", Declared, method="MY-SECRET")
    named = [one.name for one in exported.get_finished_spans()]
    assert named == ["GET /v1/jobs/{id}", "GET", "_OTHER /v1/jobs/{id}"]


@pytest.mark.parametrize(
    "sent",
    [
        [b"x" * 60_000],
        [b"00-" + b"\xe9" * 32 + b"-b7ad6b7169203331-01"],
        [b"nonsense", PARENT.encode()],
        [b" " * 60_000],
    ],
)
def test_a_hostile_traceparent_begins_a_trace_and_breaks_nothing(
    sent: list[bytes], exported: InMemorySpanExporter
) -> None:
    asked("/v1/jobs/x", Declared, headers=[(b"traceparent", one) for one in sent])
    (span,) = exported.get_finished_spans()
    assert span.parent is None


@pytest.mark.parametrize("data", ["{}", "[]", "nonsense", '{"job": null}'])
def test_a_delivery_whose_event_says_no_job_is_sent_all_the_same(data: str, exported: InMemorySpanExporter) -> None:
    row = {"id": "evt_1", "type": "job.completed", "data": data, "attempts": 0, "delivery_id": "dlv_1"}
    rows = [{**row, "url": "http://[::1/hook"}]
    deliveries.add_traces(None, rows)  # type: ignore[arg-type]
    with deliveries.send(rows[0]):
        pass
    (span,) = exported.get_finished_spans()
    assert span.parent is None and span.attributes is not None and "server.address" not in span.attributes


def test_a_collector_that_is_away_is_told_of_once_a_minute() -> None:
    from opentelemetry.exporter.otlp.proto.http import trace_exporter

    levels = logs._REPEATING[trace_exporter._logger.name]
    seldom = logs.Seldom(levels)
    told = [logging.LogRecord("x", level, "", 0, "Failed %s", ("x",), None) for level in (*levels, *levels)]
    assert [seldom.filter(one) for one in told] == [True, False, False, False]


def test_a_collector_that_takes_connections_and_never_answers_holds_up_no_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from shared.telemetry import sdk

    monkeypatch.setattr(spans, "STOP_SECONDS", 0.1)
    monkeypatch.setattr(sdk, "EXPORT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        telemetry.start("test")
        for _ in range(5000):
            with telemetry.span("x", "client"):
                pass
        exporting = [one for one in threading.enumerate() if one.name.startswith("OtelBatch")]
        telemetry.stop()
        assert exporting and all(one.daemon and one.is_alive() for one in exporting), "it was not waited for"
        for one in exporting:
            one.join()


def test_a_collector_that_refuses_is_not_asked_again_by_a_process_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause before a second try is 0.8 s at least, and lasted until the process gave up."""
    from shared.telemetry import sdk

    exports = []
    export = sdk._Sender.export
    monkeypatch.setattr(sdk._Sender, "export", lambda sender, spans: exports.append(export(sender, spans)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("opentelemetry.exporter.otlp.common.http._OTLPHTTPClient._compute_backoff", lambda *_: 60.0)
    monkeypatch.setattr(sdk, "EXPORT_SECONDS", 600.0)
    monkeypatch.setattr(spans, "STOP_SECONDS", 30.0)
    telemetry.start("test")
    with telemetry.span("x", "client"):
        pass
    began = clock.monotonic()
    telemetry.stop()
    assert len(exports) == 1 and clock.monotonic() - began < 20


@pytest.mark.parametrize(("variables", "seconds"), [({}, 2.5), ({spans.VARIABLES[0]: "http://c"}, 5.5)])
def test_a_stack_waits_for_a_processs_drain_and_for_its_traces(variables: dict[str, str], seconds: float) -> None:
    assert stack._stop_seconds({"FUSIONAI_DRAIN_SECONDS": "2.5", **variables}) == seconds


def test_a_web_process_that_ends_by_a_signal_sends_its_last_spans(
    exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from producer import app

    def told_to_stop(*_: Any) -> None:
        raise SystemExit(0)

    monkeypatch.setattr("producer.app.serve.serve", told_to_stop)
    monkeypatch.setattr("producer.app.logs.start", lambda: None)
    monkeypatch.setattr("producer.app.schema.require", lambda url: None)
    monkeypatch.setattr(app, "keep_private", lambda: None)
    with pytest.raises(SystemExit):
        app.main()
    assert not telemetry.on()
