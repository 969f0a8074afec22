"""Calls a provider for a job, once: traced, the end reported to the pace and the statistics, images kept."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared import clock, crash
from shared.errors import ProviderError
from shared.jobs.leases import Leased
from workers.pacing import Permit, Recorder
from workers.providers import ProviderAnswer, ProviderCall, Upstream
from workers.running import counting, tiers, traced
from workers.running.images import ImageKeeper
from workers.running.sinks import CallSink
from workers.upstream.faults import NOT_CONFIGURED


@dataclass(frozen=True, slots=True)
class Caller:
    """What is needed to call; one a process."""

    upstreams: Mapping[str, Upstream]
    image_keeper: ImageKeeper
    statistics: Recorder | None

    async def call(
        self, call: ProviderCall, job: Leased, sink: CallSink | None, permit: Permit | None
    ) -> ProviderAnswer:
        """What the provider answers. `sink`: that of the call; `permit`: leave to call, None where there is no pace.

        ProviderError: it failed. StorageAway: its images could not be kept.
        """
        offer, began = call.offer, clock.monotonic()
        try:
            crash.point("call.before")
            with traced.call(job, offer, call.request) as span:
                answer = await self._upstream(offer.provider).call(call)
                traced.answered(span, answer)
            ended = clock.monotonic()
        except BaseException as error:
            if permit is not None:
                permit.broken(error, harmless=isinstance(error, ProviderError) and tiers.harmless(error, offer))
            raise
        if permit is not None:
            permit.answered(answer.limits, answer.usage.prompt_tokens + answer.usage.completion_tokens)
        if job.type == "image":
            await self.image_keeper.put_links(call, answer, of_batch=job.batch_id is not None)
        if permit is not None:
            counting.answered(self.statistics, offer, began, ended, sink)
        crash.point("call.after")
        return answer

    def _upstream(self, provider: str) -> Upstream:
        if upstream := self.upstreams.get(provider):
            return upstream
        raise ProviderError(f"provider {provider} is not configured on this worker", code=NOT_CONFIGURED)
