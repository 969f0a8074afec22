"""What differs between the generations of Gemini's models, by the upstream's name.

Source: https://ai.google.dev/gemini-api/docs/thinking, .../thought-signatures, .../media-resolution, .../latest-model
(gemini-4-argon: levels alone; to a thinkingBudget it answers 400).
"""

import re
from dataclasses import dataclass
from typing import Final

_NUMBER: Final = re.compile(r"(?:models/)?gemini-([0-9]+)(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation. A name without a number (`gemini-flash-latest`) is of the newest.

    `levels`: it takes a thinkingLevel, the others before it a thinkingBudget alone. `budgets`: it takes that.
    `signs`: it refuses a functionCall without a thoughtSignature. `resolves_parts`: each picture may have a
    mediaResolution. `shows_results`: the result of a function may have pictures in it.
    """

    levels: bool = True
    budgets: bool = False
    signs: bool = True
    resolves_parts: bool = True
    shows_results: bool = True


_NEWEST: Final = Generation()
_THIRD: Final = Generation(budgets=True)
_OLDER: Final = Generation(levels=False, budgets=True, signs=False, resolves_parts=False, shows_results=False)


def resource(upstream: str) -> str:
    """A model's name as its resource: `models/gemini-2.5-pro`, `tunedModels/mine`."""
    return upstream if "/" in upstream else f"models/{upstream}"


def generation(upstream: str) -> Generation:
    """The generation of a model.

    >>> generation("gemini-2.5-pro").levels, generation("gemini-3-flash-preview").levels
    (False, True)
    >>> generation("gemini-3.8-flash").budgets, generation("gemini-4-argon").budgets
    (True, False)
    """
    if (found := _NUMBER.match(upstream)) is None:
        return _NEWEST
    return _OLDER if int(found[1]) < 3 else _THIRD if int(found[1]) == 3 else _NEWEST
