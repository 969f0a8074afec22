"""Where the answer of one call goes as it comes: to the job's stream, held until it is whole, or to nobody."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared import clock
from shared.jobs.leases import Leased
from shared.submissions.catalogue import SANDBOX
from shared.submissions.offers import Offer
from workers.running.job_rows import Work
from workers.running.partial_answer import PartialAnswer
from workers.running.publisher import HeldSink, Publisher, StreamSink, UnreadSink

CallSink = StreamSink | HeldSink | UnreadSink

#: By so much a stream ends before its job's deadline, so that its worker, who knows how much was sent, ends the job.
EARLY_SECONDS = 2.0


@contextmanager
def streaming(
    publisher: Publisher | None, job: Leased, work: Work, offer: Offer, partial: PartialAnswer, *, turns_soon: bool
) -> Iterator[CallSink | None]:
    """Where a job is streamed to while it is called for; a batch's lines have nobody who would read.

    A caller who wants the whole is served by a stream as well while another offer is left (`turns_soon`): so a provider
    that is silent, which is soon given up, is distinguished from one that has begun a long answer.
    """
    chat = job.type == "chat.completion" and not job.batch_id
    if publisher is None or not chat or not work.request.get("stream"):
        yield UnreadSink() if chat and turns_soon and offer.provider != SANDBOX else None
        return
    sink, walk = publisher.open(job.id, job.epoch), work.walk
    if walk is not None:
        sink.model, offer = walk.asked.model, walk.charged_by(offer)
    partial.begin(offer, work.request, sink.gathered, walk)
    try:
        yield HeldSink(sink) if work.hold_stream else sink
    finally:
        sink.end()


def lifetime(job: Leased, sink: CallSink | None) -> float | None:
    """How long a stream may go on: to just before its deadline, when others end the job; for the rest they do."""
    if sink is None or isinstance(sink, UnreadSink):
        return None
    return max((job.expires_at - clock.now_micros()) / clock.MICROS - EARLY_SECONDS, 0.0)
