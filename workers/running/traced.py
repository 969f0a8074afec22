"""The spans of a worker: a job from its lease to its end, and each call of a provider in it."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from shared import telemetry
from shared.errors import ProviderError
from shared.jobs.leases import Leased
from shared.submissions.schemas import Offer
from shared.telemetry import content, names
from workers.providers import ProviderAnswer


def job(leased: Leased) -> AbstractContextManager[telemetry.Span]:
    """A job at this worker; it goes on from the span in which it was accepted."""
    if not telemetry.on():
        return telemetry.span("", "consumer")
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


@contextmanager
def call(job: Leased, offer: Offer, request: Mapping[str, Any]) -> Iterator[telemetry.Span]:
    """A call of a provider; a failed one is named by its status or code."""
    if not telemetry.on():
        yield telemetry.NOTHING
        return
    asked = names.call(job.type, offer.provider, offer.upstream, request) | content.asked(request)
    with telemetry.span(names.call_name(job.type, offer.upstream), "client", fusionai__job__id=job.id, **asked) as span:
        try:
            yield span
        except ProviderError as error:
            span.set(http__response__status_code=error.upstream_status)
            span.fail(error.code or str(error.upstream_status or type(error).__name__))
            raise


def answered(span: telemetry.Span, answer: ProviderAnswer) -> None:
    """What a call came to."""
    if span is not telemetry.NOTHING:
        usage = answer.usage
        span.set(**names.answer(answer.body, usage.prompt_tokens, usage.completion_tokens))
        span.set(**content.answered(answer.body))
