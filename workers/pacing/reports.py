"""What a worker tells of a provider and model, from which `workers.pacing.law` learns its pace. Pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class Report:
    """What one worker has seen of one provider and model since its last report."""

    worker: str
    #: The version under which what is reported was sent.
    version: int
    #: Calls that wait or are under way here.
    wanted: int = 0
    #: Good answers; refused for pace (and how long the provider wants to be left alone), some for the rate of calls,
    #: not only because the provider has too much to do.
    admitted: int = 0
    #: When the last of them came, in Redis's time as far as the worker knows it.
    answered_at: float = 0.0
    refused: int = 0
    rated: bool = False
    refused_for: str = ""
    hold: float = 0.0
    #: Failures since the last good answer; why; whether one of them says that our key or our quota is refused.
    failed: int = 0
    failed_for: str = ""
    barred: bool = False
    #: Calls in flight, of all that may be, and whether calls had to wait for that; for the rate.
    in_flight: int = 0
    limit_used: bool = False
    rate_used: bool = False
    #: A rate that the provider's headers stated.
    told: float | None = None
    #: The one call that tried a paused provider has ended, well or not, or could not be made.
    probed: bool = False

    def forget(self, *, failures: bool) -> None:
        """What was sent under an earlier version says nothing of the pace any more; good answers always count.

        `failures`: nor whether the provider is down (`still_tells`).
        """
        if failures or self.barred:
            self.failed = 0
        self.refused = 0
        self.hold, self.barred, self.rated = 0.0, False, False
