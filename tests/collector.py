"""A collector of traces for tests: what processes have exported to it over HTTP, as spans."""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.conditions import await_condition
from tests.receiver import Receiver

_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_ERROR = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """A span as it came."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    failed: bool
    seconds: float


class Collector(Receiver):
    """The server, and all spans that came."""

    @property
    def endpoint(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT."""
        return self.url.removesuffix("/hook")

    @property
    def raw(self) -> bytes:
        """All that came, in one."""
        return b"".join(_body(one.headers, one.body) for one in self.deliveries)

    def spans(self) -> list[Seen]:
        """All that came, in the order in which they ended."""
        found = []
        for one in self.deliveries:
            assert (one.method, one.path) == ("POST", "/v1/traces")
            found += _spans(ExportTraceServiceRequest.FromString(_body(one.headers, one.body)))
        return found

    def of_trace(self, trace: str, holds: Callable[[Sequence[Seen]], bool]) -> list[Seen]:
        """The spans of a trace, once this holds of them."""

        def found() -> list[Seen]:
            those = [one for one in self.spans() if one.trace == trace]
            return those if holds(those) else []

        return await_condition(found, what=f"the spans of trace {trace}")


def _body(headers: Any, body: bytes) -> bytes:
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


def _spans(request: ExportTraceServiceRequest) -> list[Seen]:
    found = []
    for group in request.resource_spans:
        service = {one.key: _value(one.value) for one in group.resource.attributes}["service.name"]
        for span in (one for scope in group.scope_spans for one in scope.spans):
            attributes = {one.key: _value(one.value) for one in span.attributes}
            ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
            seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
            failed = span.status.code == _ERROR
            found.append(Seen(service, span.name, _KINDS[span.kind], *ids, attributes, failed, seconds))
    return found


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)
