"""A reading of the metrics in Prometheus's text format."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import accumulate
from math import inf
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from producer.metrics.names import COUNTERS, GAUGES, Labels
from producer.metrics.readings import Reading
from shared.jobs import metrics
from shared.jobs.outcomes import TERMINAL
from shared.queues import lane_of, provider_of
from shared.submissions.catalogue import job_queues

_SECONDS_MEANING: Final = "Seconds from the acceptance of a job to its end, for finished jobs."


def render(reading: Reading) -> bytes:
    """A reading in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(reading))
    return generate_latest(registry)


class Exposition(Collector):
    """A reading as metric families."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        """All of it, named `fusionai_…`."""
        for name, labels, meaning in GAUGES:
            gauge = GaugeMetricFamily(f"fusionai_{name}", meaning, labels=labels)
            for given, number in sorted(self._reading.gauges.get(name, {}).items()):
                gauge.add_metric(given, number)
            yield gauge
        for name, kept, parts, meaning in COUNTERS:
            counter = CounterMetricFamily(f"fusionai_{name}", meaning, labels=metrics.LABELS.get(kept, ()))
            for given, total in sorted(self._totals(kept).items()):
                counter.add_metric(given, total / parts)
            yield counter
        yield self._job_seconds()

    def _totals(self, name: str) -> Mapping[Labels, int]:
        """The totals of a counter, which is 0 before it has counted anything where its labels can be said.

        Prometheus sees no increase from nothing to a number: an alert would miss the first ones.
        """
        return {**_zeros(name), **self._reading.counters.get(name, {})}

    def _job_seconds(self) -> Metric:
        family = HistogramMetricFamily("fusionai_job_seconds", _SECONDS_MEANING, labels=("provider", "lane"))
        ended: defaultdict[Labels, dict[float, int]] = defaultdict(lambda: dict.fromkeys(metrics.BUCKETS, 0))
        for (provider, lane, le), count in self._totals("job_seconds").items():
            ended[provider, lane][float(le)] = count
        millis = self._totals("job_millis")
        for given, counts in sorted(ended.items()):
            sums = list(accumulate(counts[end] for end in sorted(counts)))
            buckets = list(zip(map(_end, sorted(counts)), map(float, sums), strict=True))
            family.add_metric(given, buckets, millis.get(given, 0) / 1000)
        return family


def _zeros(name: str) -> dict[Labels, int]:
    if name == "jobs_settled":
        places = [(provider_of(queue), lane_of(queue)) for queue in job_queues()]
        return {(*place, status): 0 for place in places for status in TERMINAL}
    if name in metrics.LABELS:
        return {(outcome,): 0 for outcome in metrics.OUTCOMES.get(name, ())}
    return {(): 0}


def _end(seconds: float) -> str:
    return "+Inf" if seconds == inf else str(seconds)
