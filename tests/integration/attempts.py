"""What an engine under test needs to call for jobs: scripted providers, and a pace that is shared with nobody."""

from typing import Any

from workers.pacing import Pace, PaceStore, Recorder
from workers.running.attempts import Attempts
from workers.running.publisher import Publisher

#: Nothing listens there.
NOWHERE = "redis://127.0.0.1:1/0"


def of(
    behave: Any,
    publisher: Publisher | None = None,
    *,
    provider: str = "openai",
    statistics: Recorder | None = None,
) -> Attempts:
    """Attempts at one provider that does what a test says; an object with `call`."""
    return Attempts({provider: behave}, Pace(PaceStore(NOWHERE), "w"), publisher, statistics=statistics)
