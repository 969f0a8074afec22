"""A sequence in parts of a bounded size. Pure.

>>> list(slices([1, 2, 3, 4, 5], 2))
[[1, 2], [3, 4], [5]]
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in order, `size` at a time; the last part may have fewer."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
