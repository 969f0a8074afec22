"""What is counted of an attempt for the statistics of its offer (`workers.pacing.statistics`), if anything is."""

from shared.errors import ProviderError
from shared.providers.states import name_of
from shared.submissions.offers import Offer
from workers.pacing import Recorder
from workers.running import tiers
from workers.running.sinks import CallSink


def failed(statistics: Recorder | None, offer: Offer, error: ProviderError) -> None:
    """Count a failure, unless it tells nothing of the provider."""
    if statistics is not None and not tiers.harmless(error, offer):
        statistics.failed(name_of(offer.provider, offer.upstream), error)


def answered(statistics: Recorder | None, offer: Offer, began: float, ended: float, sink: CallSink | None) -> None:
    """Count a good answer, and how long it took, in seconds of the monotonic clock; a cheap tier's is bought slow."""
    if statistics is None:
        return
    name = name_of(offer.provider, offer.upstream)
    if tiers.bought_slow(offer):
        return statistics.answered(name, None)
    first = sink.first_at - began if sink is not None and sink.first_at is not None else None
    statistics.answered(name, ended - began, first)
