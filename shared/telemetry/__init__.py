"""Traces by OpenTelemetry: one from the HTTP request over the queue to the provider and the webhook; off by default.

On where `OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) is set: spans then go there by OTLP
over HTTP, as the SDK's own variables say (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS` …).
Off, a span is one comparison, and no package of OpenTelemetry is imported. What a trace has never decides anything, and
a collector that is away, slow or full costs spans and nothing else.

Names follow the semantic conventions (https://opentelemetry.io/docs/specs/semconv/): HTTP, messaging, generative AI.
"""

from shared.telemetry.spans import NOTHING, OFF, Kind, Span, on, span, start, stop, stop_seconds

__all__ = ["NOTHING", "OFF", "Kind", "Span", "on", "span", "start", "stop", "stop_seconds"]
