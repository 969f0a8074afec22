"""OpenTelemetry's SDK, set up: spans are sent by a thread of its own. Imported only where traces are on."""

import threading
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from shared import environment

#: An export is given up after so many seconds.
EXPORT_SECONDS: Final = 5.0

#: Each with what it exports by, where that sends.
_providers: list[tuple[TracerProvider, "_Sender | None"]] = []
_NAME: Final = "fusionai"


def tracer(process: str, variables: Mapping[str, str], exporter: Any = None) -> Any:
    """The tracer of this process. `exporter`: one that is sent each span as it ends."""
    resource = Resource.create({"service.namespace": _NAME, "service.name": f"{_NAME}-{process}"} | _named())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    sender = None if exporter else _Sender(endpoint=_endpoint(variables), timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(sender) if sender else SimpleSpanProcessor(exporter))
    _providers.append((provider, sender))
    return provider.get_tracer(_NAME)


def close(seconds: float) -> None:
    """Send what is left; a collector that does not take it in so many seconds does not hold up the process."""
    for provider, sender in _providers:
        if sender:
            sender.hurry()
        closing = threading.Thread(target=provider.shutdown, daemon=True)
        closing.start()
        closing.join(seconds)
    _providers.clear()


class _Sender(OTLPSpanExporter):
    """One that, once told to hurry, tries each batch once: a collector that refuses is not asked again."""

    def hurry(self) -> None:
        """End a pause between two tries. The event is private, but `shutdown`, which sets it, drops what is left."""
        event = getattr(getattr(self, "_client", None), "_shutdown_event", None)
        if event is not None:
            event.set()


def _named() -> dict[str, str]:
    return {"service.name": name} if (name := environment.usual("OTEL_SERVICE_NAME").get("OTEL_SERVICE_NAME")) else {}


def _endpoint(variables: Mapping[str, str]) -> str:
    """Of traces, as the specification has it: the variable for them as it is, the common one with their path."""
    traces, common = (variables.get(f"OTEL_EXPORTER_OTLP_{name}") for name in ("TRACES_ENDPOINT", "ENDPOINT"))
    return traces or f"{(common or '').rstrip('/')}/v1/traces"
