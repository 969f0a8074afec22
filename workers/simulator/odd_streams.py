"""Streams that are cut, said twice, or have more in them than their protocol: by their events, whatever those say."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from workers.simulator.messages import Protocol, SimulatedReply

#: A comment and an unknown field longer than a network packet, and than most buffers.
LONG_BYTES: Final = 1_000_000
#: What a newer version of any of the protocols might say.
_NOVEL: Final = b'event: novelty\ndata: {"type":"novelty","object":"novelty","novel":{"a":[1]}}\n\n'


def cut_event(events: list[bytes]) -> list[bytes]:
    """It ends in the midst of an event, in good manners."""
    at = max(len(events) // 2, 1)
    return [*events[: at - 1], events[at - 1][: len(events[at - 1]) // 2]]


def end_twice(events: list[bytes]) -> list[bytes]:
    """Its last two events come twice."""
    return [*events, *events[-2:]]


def unknown_events(events: list[bytes]) -> list[bytes]:
    """Events of which nobody has heard, between all others."""
    return [one for event in events for one in (_NOVEL, event)]


def long_lines(events: list[bytes]) -> list[bytes]:
    """A comment of a million bytes, and a field of as many."""
    return [b": %s\n\n" % (b"x" * LONG_BYTES), events[0], b"retry: %s\n\n" % (b"9" * LONG_BYTES), *events[1:]]


def no_events(events: list[bytes]) -> list[bytes]:
    """It ends before its first event."""
    return []


def changed(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[SimulatedReply, Protocol], SimulatedReply]:
    """The same of a reply; one that is no stream stays as it is."""

    def change_reply(reply: SimulatedReply, protocol: Protocol) -> SimulatedReply:
        return reply if reply.events is None else replace(reply, events=change(reply.events))

    return change_reply


#: The changes of this module by their names.
CHANGES: Final[dict[str, Callable[[SimulatedReply, Protocol], SimulatedReply]]] = {
    change.__name__: changed(change) for change in (cut_event, end_twice, unknown_events, long_lines, no_events)
}
