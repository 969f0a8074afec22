"""Telemetry: off, it is nothing at all; on, spans carry their parents, their failures, and content only when asked."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import telemetry
from shared.settings import Wrong
from shared.telemetry import content, names, spans

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
    assert len(content.asked({"input": "x" * 100_000})["gen_ai__input__messages"]) == content.MOST


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
