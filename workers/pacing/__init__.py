"""The pace at which providers are called, shared by all workers: how fast, how many at once, and whether at all."""

from shared.providers.states import name_of
from shared.settings import Settings
from shared.submissions.catalogue import Catalogue
from workers.pacing.gate import PATIENCE, Wait
from workers.pacing.outages import Pauses
from workers.pacing.pace import Pace, Permit
from workers.pacing.statistics import Recorder
from workers.pacing.store import PaceStore

__all__ = ["PATIENCE", "Pace", "PaceStore", "Pauses", "Permit", "Recorder", "Wait", "connect"]


def connect(given: Settings, catalogue: Catalogue, worker: str) -> Pace:
    """The pace of a process, as the catalogue and the settings say."""
    return Pace(
        PaceStore(given.redis_url),
        worker,
        requests={name: count / 60 for name, count in _each(catalogue, "requests_per_minute").items()},
        tokens={name: count / 60 for name, count in _each(catalogue, "tokens_per_minute").items()},
        pauses=Pauses(given.pause_seconds, given.pause_most_seconds),
    )


def _each(catalogue: Catalogue, limit: str) -> dict[str, int]:
    """A limit a minute of every model that has one, its own or its provider's, by the name of its state."""
    found = {}
    for model in catalogue.models.values():
        count = getattr(model, limit) or getattr(catalogue.providers[model.provider], limit)
        if count:
            found[name_of(model.provider, model.upstream)] = count
    return found
