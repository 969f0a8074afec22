"""Why calls of a provider are paused, in the words of a person."""

import pytest

from shared.providers.states import words


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("connect", "connection failed (connect)"),
        ("reset", "connection broken off (reset)"),
        ("503", "status 503"),
        ("overloaded_error", "overloaded_error"),
        (None, "unknown"),
    ],
)
def test_a_reason_is_said(reason: str | None, said: str) -> None:
    assert words(reason) == said
