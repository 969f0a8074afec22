"""How long a provider may take over one call: until its answer begins, over a silence within it, and in all."""

from dataclasses import dataclass

from shared.settings import settings


@dataclass(slots=True)
class TimeLimits:
    """The three limits of one call. Nothing changes them; they are not frozen, as `ProviderCall` is not.

    `first_seconds`: until the answer begins, which is its head or, of a stream, the first event that has content.
    `idle_seconds`: the longest silence after that. `whole_seconds`: from the connecting to the last byte.
    """

    first_seconds: float
    idle_seconds: float
    whole_seconds: float


def limits(*, streamed: bool = False, another_left: bool = False) -> TimeLimits:
    """The limits by the settings; `another_left`: somebody waits, and another offer could serve them instead."""
    given = settings()
    if streamed:
        first = given.stream_turn_seconds if another_left else given.stream_first_seconds
        return TimeLimits(min(first, given.stream_seconds), given.stream_idle_seconds, given.stream_seconds)
    first = given.call_turn_seconds if another_left else given.call_first_seconds
    return TimeLimits(min(first, given.call_seconds), given.call_idle_seconds, given.call_seconds)
