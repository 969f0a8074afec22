"""What kind of fault a failed attempt is, from its status and its code. Pure."""

from typing import Literal

from shared.errors import ProviderError

Kind = Literal[
    "callers",
    "too_long",
    "content_filter",
    "key",
    "quota",
    "rate",
    "overload",
    "unreachable",
    "broken",
    "missing",
]


def classify(error: ProviderError) -> Kind:
    """The kind of this fault."""
    return "broken"
