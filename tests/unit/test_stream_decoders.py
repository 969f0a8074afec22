"""A stream with pauses, as the official SDKs' own decoders read it: comments are no events, with ids and without."""

import json
from collections.abc import Iterator

import pytest
from anthropic._streaming import SSEDecoder as AnthropicDecoder
from openai._streaming import SSEDecoder

from producer.dialects.fusionai.manners import framing

_DONE, _KEEP_ALIVE = framing().end(), framing().comment()


def frames(*, ids: bool) -> list[bytes]:
    """As the relay sends them: a pause before the first, between any two, and before the end."""
    sent = [_KEEP_ALIVE, _KEEP_ALIVE]
    for number in range(5):
        head = b"id: x-1-%d/0c=%d\n" % (number, number) if ids else b""
        sent += [head + b'data: {"n":%d,"text":"a\\n\\nb"}\n\n' % number, _KEEP_ALIVE]
    return [*sent, _DONE]


def pieces(whole: bytes, size: int) -> Iterator[bytes]:
    """As a network may cut them."""
    return (whole[at : at + size] for at in range(0, len(whole), size))


@pytest.mark.parametrize("decoder", [SSEDecoder, AnthropicDecoder])
@pytest.mark.parametrize("ids", [True, False])
def test_every_event_and_nothing_else(decoder: type[SSEDecoder], ids: bool) -> None:
    sent = frames(ids=ids)
    cut: list[Iterator[bytes]] = [iter(sent), *(pieces(b"".join(sent), size) for size in (1, 2, 7, 13, 64))]
    for chunks in cut:
        events = [event.data for event in decoder().iter_bytes(chunks)]
        assert [json.loads(data)["n"] for data in events[:-1]] == [0, 1, 2, 3, 4]
        assert events[-1] == "[DONE]"


def test_the_decoder_would_trip_over_a_blank_line_that_ends_nothing() -> None:
    """What the test is worth: with two newlines there is an event without data, of which no JSON can be read."""
    wrong = [frame + b"\n" if frame == _KEEP_ALIVE else frame for frame in frames(ids=True)]
    assert "" in [event.data for event in SSEDecoder().iter_bytes(iter(wrong))]
