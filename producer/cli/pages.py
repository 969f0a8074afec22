"""What of a large JSON value a page on a terminal shows. Pure."""

from typing import Any

#: Longer texts are cut to this many characters, longer lists of numbers to this many numbers.
_LONGEST_TEXT = 2_000
_MOST_NUMBERS = 4


def abridged(value: Any) -> Any:
    """The value with its very long texts and its lists of numbers cut short, and in their place how long they are.

    >>> abridged({"embedding": [0.5, 1, 2, 3, 4, 5]})
    {'embedding': [0.5, 1, 2, 3, '… 6 numbers']}
    """
    if isinstance(value, dict):
        return {name: abridged(one) for name, one in value.items()}
    if isinstance(value, list):
        if len(value) > _MOST_NUMBERS and all(isinstance(one, int | float) for one in value):
            return [*value[:_MOST_NUMBERS], f"… {len(value):,} numbers"]
        return [abridged(one) for one in value]
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"{value[:_LONGEST_TEXT]}… ({len(value):,} characters)"
    return value
