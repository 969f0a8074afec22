"""Spans: begun and ended by a context manager, carried from process to process as W3C `traceparent`."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, Literal, TypeAlias

from shared import environment, logs
from shared.settings import Wrong

log = logging.getLogger(__name__)

Kind: TypeAlias = Literal["server", "client", "producer", "consumer"]
#: The values that an attribute may have.
Value: TypeAlias = str | int | float | bool | list[str]

#: Any of them turns traces on.
VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
#: A process that stops waits so many seconds for its last spans to be taken, and no longer.
STOP_SECONDS: Final = 3.0
#: Of a text, the letters that an attribute has; and the integers that one can be: of others the exporter logs the value
#: and where it failed, at each span.
MOST_LETTERS: Final = 16_000
_INTEGERS: Final = range(-(2**63), 2**63)
#: What went wrong in one word; others are texts of somebody else's, and `_OTHER` is what the conventions call them.
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
OTHER: Final = "_OTHER"


class Span:
    """What is being done; of none where traces are off, which keeps nothing."""

    #: For the row or header of what goes on elsewhere; None: nothing of this is traced.
    traceparent: str | None = None

    def set(self, **attributes: Value | None) -> None:
        """Attributes, with `__` in their names for each dot; None is none."""

    def tell(self, told: Callable[[], Mapping[str, Value | None]]) -> None:
        """Attributes that are made of what others sent; not made where nothing is kept, and never an exception."""

    def name(self, name: str) -> None:
        """What it is called, where that is known only now."""

    def fail(self, kind: str) -> None:
        """It went wrong: in one word, a status or the name of an exception, never a message."""


NOTHING: Final = Span()
#: What `span` gives where traces are off; for those who would make its attributes in vain.
OFF: Final[AbstractContextManager[Span]] = nullcontext(NOTHING)
#: The tracer, while traces are on.
_tracer: list[Any] = []


def on() -> bool:
    """Whether this process traces."""
    return bool(_tracer)


def stop_seconds(env: Mapping[str, str]) -> float:
    """How long a process with these variables may stay for its traces once it has done everything else."""
    return STOP_SECONDS if any(env.get(name) for name in VARIABLES) else 0.0


def span(
    name: str, kind: Kind, *, parent: str | None = None, root: bool = False, **attributes: Value | None
) -> AbstractContextManager[Span]:
    """A span while the context lasts; spans that begin in it are its children.

    `parent`: a traceparent that it goes on from, otherwise the span that it begins in. `root`: without a parent it is
    the first of a trace. An exception that leaves the context is noted by its name.
    """
    return _begun(name, kind, parent, root, attributes) if _tracer else OFF


@contextmanager
def _begun(
    name: str, kind: Kind, parent: str | None, root: bool, attributes: Mapping[str, Value | None]
) -> Iterator[Span]:
    from opentelemetry import context, trace

    above = _read(parent) if parent else context.Context() if root else None
    begun = _tracer[0].start_span(name, above, trace.SpanKind[kind.upper()])
    made = _Traced(begun)
    made.set(**attributes)
    with trace.use_span(begun, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield made
        except BaseException as error:
            made.fail(type(error).__name__)
            raise


class _Traced(Span):
    """One that is exported."""

    def __init__(self, span: Any) -> None:
        self._span = span
        at = span.get_span_context()
        told = f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"
        self.traceparent = told if at.is_valid else None  # with OTEL_SDK_DISABLED it is all zeros

    def set(self, **attributes: Value | None) -> None:
        for name, value in attributes.items():
            if (fit := fitting(value)) is not None:
                self._span.set_attribute(name.replace("__", "."), fit)

    def tell(self, told: Callable[[], Mapping[str, Value | None]]) -> None:
        try:
            self.set(**told())
        except Exception as error:  # a trace decides nothing: what was answered is paid for, and goes on
            log.warning("a span lacks attributes: %s", logs.kind(error))

    def name(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, kind: str) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("error.type", kind if _WORD.fullmatch(kind) else OTHER)
        self._span.set_status(StatusCode.ERROR)


def fitting(value: Any) -> Value | None:
    """A value as an attribute can have it, whatever a provider or a caller made of it; None: it cannot.

    >>> fitting(2**63), fitting([1, "a"]), fitting({"a": 1})
    ('9223372036854775808', ['1', 'a'], None)
    """
    if isinstance(value, str):
        return value[:MOST_LETTERS].encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [str(fitting(one)) for one in value]
    if isinstance(value, int):
        return value if value in _INTEGERS else fitting(str(value))
    return value if isinstance(value, float) else None


def _read(traceparent: str) -> Any:
    """The context that a traceparent tells; an empty one of what is none."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())


def start(process: str, exporter: Any = None) -> None:
    """Trace from now on, if that is configured. `process`: web, worker …, which tells its spans from those of others.

    `exporter`: where spans go, for tests. Wrong: the packages are not installed.
    """
    found = environment.usual(*VARIABLES)
    if _tracer or not (exporter or any(found.values())):
        return
    try:
        from shared.telemetry import sdk
    except ImportError as error:
        raise Wrong(
            f"{next(iter(found))} is set, but OpenTelemetry is not installed ({error.name}): "
            "pip install 'fusionai[otel]'"
        ) from None
    _tracer.append(sdk.tracer(process, found, exporter))
    log.info("traces are exported by OpenTelemetry")


def stop() -> None:
    """Send the spans that are still here, for a moment."""
    if _tracer:
        from shared.telemetry import sdk

        _tracer.clear()
        sdk.close(STOP_SECONDS)
