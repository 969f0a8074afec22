"""How a provider's models stand: what all workers have learned of their pace, and why calls are paused. Kept in Redis.

One document for each provider and model, and one for the provider as a whole (model `*`), which its key and its quota
concern. Workers change them (`workers.pacing`); anybody may read them. A document that is lost is learned again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

#: The set of the names of all documents, and the key of one of them.
NAMES = "fusionai.pace"
KEY = "fusionai.pace.{}"
#: The model of the document about a whole provider.
ANY = "*"
#: Calls in flight before anything is known.
FIRST_LIMIT = 24.0


#: A fault's one word as a person reads it; any other speaks for itself.
_WORDS = {
    "401": "invalid API key (401)",
    "402": "provider credits used up (402)",
    "403": "access denied (403)",
    "404": "model not found (404)",
    "connect": "connection failed (connect)",
    "first_byte": "no response in time (first_byte)",
    "reset": "connection broken off (reset)",
    "insufficient_quota": "provider quota used up (insufficient_quota)",
}


def words(reason: str | None) -> str:
    """Why calls are paused, as a person reads it."""
    return _WORDS.get(reason or "", f"status {reason}" if (reason or "").isdigit() else reason or "unknown")


def name_of(provider: str, upstream: str) -> str:
    """The name of a document: `openai/gpt-4`, by the provider's own id of the model."""
    return f"{provider}/{upstream}"


@dataclass(slots=True)
class ProviderState:
    """What is known of one provider and model. Times are Redis's own, in seconds; rates are calls a second."""

    #: Goes up with each cut and each pause: what was sent under an earlier one is no evidence any more.
    version: int = 0
    #: The pace found out; None: none is known.
    rate: float | None = None
    #: The pace that the catalogue or the provider's headers tell, never exceeded; and when it was last told.
    told: float | None = None
    told_at: float = 0.0
    #: Calls in flight, over all workers; whether that has ever been cut; where doubling ends.
    limit: float = FIRST_LIMIT
    learned: bool = False
    threshold: float | None = None
    #: When it was last looked at for growth.
    widened_at: float = 0.0
    #: The pace at which it last refused, and how many calls it has admitted since.
    peak: float = 0.0
    admitted_since: int = 0
    #: For how long nothing was sent meanwhile, and whether the rate has been borne for a while, or is a first guess.
    held: float = 0.0
    proven: bool = False
    #: When the rate was last cut, and last looked at for growth.
    cut_at: float = 0.0
    grown_at: float = 0.0
    #: Refusals for pace in a row; until when nothing is sent, and what the provider answered.
    refusals: int = 0
    held_until: float = 0.0
    held_for: str | None = None
    #: The version with which it last responded again: failures of calls that were sent before say nothing any more.
    resumed: int = 0
    #: Failures in a row that say that the provider is down; how often it has been paused since it last answered.
    failures: int = 0
    pauses: int = 0
    #: Paused: since when, when it is tried again (0: not paused), for how long it was left alone, and why.
    paused_since: float = 0.0
    paused_until: float = 0.0
    wait: float = 0.0
    paused_for: str | None = None
    #: It refuses our key or our quota.
    barred: bool = False
    #: Who tries it, and until when nobody else does.
    probe: str = ""
    probe_until: float = 0.0
    #: Good answers, by half second: `[half seconds since the epoch, count]`, oldest first.
    admitted: list[list[int]] = field(default_factory=list)
    #: Refusals for overload, likewise; a worker of an earlier version does not count its own.
    overloads: list[list[int]] = field(default_factory=list)
    #: When the last of the good answers came; 0: a worker of an earlier version did not say.
    answered_at: float = 0.0
    #: Who calls: `{worker: [seen, calls wanted]}`.
    workers: dict[str, list[float]] = field(default_factory=dict)

    @property
    def paused(self) -> bool:
        """Whether calls are paused, but for a single one that tries it."""
        return self.paused_until > 0

    @property
    def tried_again_at(self) -> float:
        """When another call may try a paused provider: while one tries it, no other does."""
        return max(self.paused_until, self.probe_until if self.probe else 0.0)

    @property
    def ceiling(self) -> float | None:
        """The calls a second that may be sent, over all workers; None: as many as are wanted."""
        if self.rate is None or self.told is None:
            return self.told if self.rate is None else self.rate
        return min(self.rate, self.told)


_STATE = TypeAdapter(ProviderState)


def dump(state: ProviderState) -> bytes:
    """A state as its document."""
    return orjson.dumps(asdict(state))


def load(document: bytes | str | None) -> ProviderState | None:
    """The state of a document, also of one that a newer or older version wrote; None when there is none to be read."""
    if not document:
        return None
    try:
        state = _STATE.validate_json(document, strict=True)
    except ValidationError:
        return None
    rates = [rate for rate in (state.rate, state.told) if rate is not None]
    return state if state.limit >= 1 and all(rate > 0 for rate in rates) else None


@dataclass(frozen=True, slots=True)
class ProviderStanding:
    """One provider or model as an operator is shown it."""

    provider: str
    #: The provider's own id of the model; None: the provider as a whole.
    upstream: str | None
    state: ProviderState


def read_all(redis: Any) -> Sequence[ProviderStanding]:
    """Every document there is, by name. `redis`: a synchronous client; raises RedisError when it is away."""
    names = sorted(one.decode() for one in redis.smembers(NAMES))
    documents = redis.mget([KEY.format(name) for name in names]) if names else []
    found = []
    for name, document in zip(names, documents, strict=True):
        provider, _, upstream = name.partition("/")
        if (state := load(document)) is not None:
            found.append(ProviderStanding(provider, None if upstream == ANY else upstream, state))
    return found
