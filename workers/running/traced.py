"""The spans of a worker: a job from its lease to its end, and each call of a provider in it."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from shared import telemetry
from shared.errors import ProviderError
from shared.jobs.leases import Leased
from shared.submissions.offers import Offer
from shared.telemetry import content, names
from workers.providers import ProviderAnswer


def job(leased: Leased) -> AbstractContextManager[telemetry.Span]:
    """A job at this worker; it goes on from the span in which it was accepted."""
    if not telemetry.on():
        return telemetry.OFF
    return telemetry.span(
        f"process {leased.queue}",
        "consumer",
        parent=leased.trace,
        root=True,
        messaging__message__id=leased.id,
        fusionai__batch__id=leased.batch_id,
        fusionai__lease__epoch=leased.epoch,
        **names.messaging(leased.queue, "process"),
    )


def call(job: Leased, offer: Offer, request: Mapping[str, Any]) -> AbstractContextManager[telemetry.Span]:
    """A call of a provider; a failed one is named by its status or code."""
    return _call(job, offer, request) if telemetry.on() else telemetry.OFF


@contextmanager
def _call(job: Leased, offer: Offer, request: Mapping[str, Any]) -> Iterator[telemetry.Span]:
    with telemetry.span(names.call_name(job.type, offer.upstream), "client", fusionai__job__id=job.id) as span:
        span.tell(lambda: names.call(job.type, offer.provider, offer.upstream, request))
        span.tell(lambda: content.asked(request))
        try:
            yield span
        except ProviderError as error:
            span.set(http__response__status_code=error.upstream_status)
            span.fail(error.code or str(error.upstream_status or type(error).__name__))
            raise


def answered(span: telemetry.Span, answer: ProviderAnswer) -> None:
    """What a call came to."""
    if span is telemetry.NOTHING:
        return
    span.tell(lambda: names.answer(answer.body, answer.usage.prompt_tokens, answer.usage.completion_tokens))
    span.tell(lambda: content.answered(answer.body))
